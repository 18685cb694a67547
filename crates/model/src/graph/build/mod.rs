//! From a validated layer list to a training graph.

mod backward;
mod forward;
mod sequence;
#[cfg(test)]
mod tests;

use super::{
    Activation, BufferId, BufferSpec, DenseWeight, Graph, LayerInfo, Loss, LossKind, Op, Step,
    Targets,
};
use crate::layout::{Init, Layout, TensorId};
use crate::run_file::{LossSpec, ModelSpec};

/// Builds the graph of a model whose shapes fit.
///
/// # Panics
/// Where they don't. Run files are checked; a model made by hand must fit.
pub fn build(model: &ModelSpec) -> Graph {
    let mut builder = Builder::default();
    let features = model.input.iter().product();
    let input = Value {
        buffer: builder.buffer("input", features),
        shape: model.input.clone(),
        needs_grad: false,
    };
    let input_id = input.buffer;
    let (prediction, nodes) = builder.layers(&model.layers, input, "layers", 0);
    let loss = builder.loss(model.loss, &prediction);
    let mut forward = Vec::new();
    list_forward(&nodes, &mut forward);
    builder.run_backward(&nodes, loss.grad);
    Graph {
        input_shape: model.input.clone(),
        input: input_id,
        vocabulary: builder.embedding.map(|embedding| embedding.vocabulary),
        classes: loss.width,
        buffers: builder.buffers,
        layers: builder.layers,
        forward,
        loss,
        backward: builder.backward,
        layout: builder.layout,
    }
}

/// What flows from one layer to the next.
#[derive(Debug, Clone)]
struct Value {
    buffer: BufferId,
    /// Shape of one sample.
    shape: Vec<usize>,
    /// Whether a layer before has parameters.
    needs_grad: bool,
}

impl Value {
    fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows and width of the last axis.
    fn rows(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        (self.features() / width, width)
    }
}

/// The forward pass with its nesting, which the backward pass retraces.
enum Node {
    Op {
        step: Step,
        /// Whether the gradient of its input, and whether that of its output is needed.
        needs_grad: [bool; 2],
    },
    /// `output = input + branch(input)`.
    Residual {
        branch: Vec<Self>,
        add: Step,
        input_needs_grad: bool,
    },
}

fn list_forward(nodes: &[Node], steps: &mut Vec<Step>) {
    for node in nodes {
        match node {
            Node::Op { step, .. } => steps.push(*step),
            Node::Residual { branch, add, .. } => {
                list_forward(branch, steps);
                steps.push(*add);
            }
        }
    }
}

/// The embedding that tied layers share.
#[derive(Clone, Copy)]
struct Embedding {
    table: TensorId,
    vocabulary: usize,
}

#[derive(Default)]
struct Builder {
    buffers: Vec<BufferSpec>,
    layers: Vec<LayerInfo>,
    layout: Layout,
    backward: Vec<Step>,
    embedding: Option<Embedding>,
    dropouts: u32,
    /// Tensors whose gradient an operation has written.
    written: Vec<TensorId>,
}

impl Builder {
    fn buffer(&mut self, name: &str, features: usize) -> BufferId {
        self.buffers.push(BufferSpec {
            name: name.to_owned(),
            features,
        });
        BufferId(self.buffers.len() - 1)
    }

    /// A buffer of the same size as another.
    fn buffer_like(&mut self, name: &str, other: BufferId) -> BufferId {
        let features = self.buffers[other.0].features;
        self.buffer(name, features)
    }

    fn tensor(&mut self, name: String, shape: Vec<usize>, init: Init) -> TensorId {
        self.layout.push(name, shape, init)
    }

    fn loss(&mut self, spec: LossSpec, prediction: &Value) -> Loss {
        let (rows, width) = prediction.rows();
        let mean_squared_error = |targets| LossKind::MeanSquaredError { targets };
        Loss {
            kind: match spec {
                LossSpec::SoftmaxCrossEntropy => LossKind::SoftmaxCrossEntropy,
                LossSpec::SoftTargets { temperature } => LossKind::SoftTargets { temperature },
                LossSpec::MeanSquaredErrorOfClasses => mean_squared_error(Targets::Classes),
                LossSpec::MeanSquaredError => mean_squared_error(Targets::Values),
            },
            rows,
            width,
            prediction: prediction.buffer,
            grad: self.buffer("loss.grad", rows * width),
        }
    }
}
