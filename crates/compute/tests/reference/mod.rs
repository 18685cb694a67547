//! The readable reference: a naive interpreter of the training graph in double precision.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use tabswarm_model::Graph;
use tabswarm_model::graph::{Activation, BufferId, Loss, Op};
use tabswarm_model::layout::TensorId;

/// Interprets a graph for one batch.
pub(crate) struct Reference<'a> {
    graph: &'a Graph,
    params: &'a [f64],
    buffers: Vec<Array2<f64>>,
    pub(crate) gradient: Vec<f64>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(graph: &'a Graph, params: &'a [f64]) -> Self {
        let buffers = graph
            .buffers
            .iter()
            .map(|_| Array2::zeros((0, 0)))
            .collect();
        Self {
            graph,
            params,
            buffers,
            gradient: vec![0.0; params.len()],
        }
    }

    /// The summed loss in nats.
    pub(crate) fn loss(&mut self, inputs: &[f64], labels: &[u16]) -> f64 {
        let shape = (labels.len(), self.graph.input_features());
        *self.at(self.graph.input) =
            Array2::from_shape_vec(shape, inputs.to_vec()).expect("the caller gives whole samples");
        for op in &self.graph.forward {
            self.run(op);
        }
        let Loss::SoftmaxCrossEntropy {
            logits,
            grad_logits,
        } = self.graph.loss;
        let mut grad = self.buffers[logits.0].clone();
        let mut loss = 0.0;
        for (mut row, &label) in grad.axis_iter_mut(Axis(0)).zip(labels) {
            let max = row.fold(f64::NEG_INFINITY, |max, &x| max.max(x));
            let log_sum = row.mapv(|x| (x - max).exp()).sum().ln() + max;
            loss += log_sum - row[usize::from(label)];
            row.mapv_inplace(|x| (x - log_sum).exp());
            row[usize::from(label)] -= 1.0;
        }
        *self.at(grad_logits) = grad;
        loss
    }

    /// The summed loss; its gradient is then in `gradient`.
    pub(crate) fn loss_and_gradient(&mut self, inputs: &[f64], labels: &[u16]) -> f64 {
        let loss = self.loss(inputs, labels);
        for op in &self.graph.backward {
            self.run(op);
        }
        loss
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Dense {
                weight,
                bias,
                input,
                output,
                activation,
            } => {
                let bias = self.params[self.graph.layout.tensor(bias).range()].to_vec();
                let product = self.buffers[input.0].dot(&self.weight(weight));
                let sum = product + Array1::from_vec(bias);
                *self.at(output) = match activation {
                    Activation::Identity => sum,
                    Activation::Relu => sum.mapv(|x| x.max(0.0)),
                };
            }
            Op::Relu { input, output } => {
                *self.at(output) = self.buffers[input.0].mapv(|x| x.max(0.0));
            }
            Op::DenseBackward {
                weight,
                bias,
                input,
                grad_output,
                grad_input,
            } => {
                let grad = self.buffers[grad_output.0].clone();
                let weight_grad = self.buffers[input.0].t().dot(&grad);
                self.write_gradient(weight, weight_grad.iter().copied());
                self.write_gradient(bias, grad.sum_axis(Axis(0)).into_iter());
                if let Some(grad_input) = grad_input {
                    *self.at(grad_input) = grad.dot(&self.weight(weight).t());
                }
            }
            Op::ReluBackward { output, grad } => {
                let output = self.buffers[output.0].clone();
                self.at(grad).zip_mut_with(&output, |grad, &output| {
                    if output <= 0.0 {
                        *grad = 0.0;
                    }
                });
            }
        }
    }

    fn at(&mut self, id: BufferId) -> &mut Array2<f64> {
        &mut self.buffers[id.0]
    }

    fn weight(&self, id: TensorId) -> ArrayView2<'a, f64> {
        let spec = self.graph.layout.tensor(id);
        let shape = (spec.shape[0], spec.shape[1]);
        ArrayView2::from_shape(shape, &self.params[spec.range()])
            .expect("a tensor has as many values as its shape says")
    }

    fn write_gradient(&mut self, id: TensorId, values: impl Iterator<Item = f64>) {
        let range = self.graph.layout.tensor(id).range();
        for (to, value) in self.gradient[range].iter_mut().zip(values) {
            *to = value;
        }
    }
}
