//! What an operation keeps between batches: packed weights and working memory.

use tabswarm_model::Graph;
use tabswarm_model::graph::{DenseWeight, Op};

use crate::cpu::conv;
use crate::cpu::dense::{self, DenseShape};
use crate::cpu::gemm::Gemm;

/// An operation's own memory.
#[derive(Debug)]
pub(super) enum Kernel {
    /// The operation needs none.
    Stateless,
    Dense(dense::Forward),
    DenseBackward(dense::Backward),
    Conv2d(Box<conv::Forward>),
    Conv2dBackward(Box<conv::Backward>),
}

impl Kernel {
    pub(super) fn new(graph: &Graph, op: &Op, gemm: &mut Gemm) -> Self {
        match *op {
            Op::Dense { weight, .. } => {
                Self::Dense(dense::Forward::new(gemm, dense_shape(graph, weight)))
            }
            Op::DenseBackward {
                weight, grad_input, ..
            } => {
                let shape = dense_shape(graph, weight);
                Self::DenseBackward(dense::Backward::new(gemm, shape, grad_input.is_some()))
            }
            Op::Conv2d { shape, .. } => Self::Conv2d(Box::new(conv::Forward::new(gemm, shape))),
            Op::Conv2dBackward {
                shape, grad_input, ..
            } => {
                let kernel = conv::Backward::new(gemm, shape, grad_input.is_some());
                Self::Conv2dBackward(Box::new(kernel))
            }
            _ => Self::Stateless,
        }
    }

    /// Takes over a new version of the parameters, flat and in layout order.
    pub(super) fn set_params(&mut self, graph: &Graph, op: &Op, gemm: &Gemm, params: &[f32]) {
        let tensor = match op {
            Op::Dense { weight, .. } | Op::DenseBackward { weight, .. } => weight.tensor,
            Op::Conv2d { weight, .. } | Op::Conv2dBackward { weight, .. } => *weight,
            _ => return,
        };
        let weight = &params[graph.layout.tensor(tensor).range()];
        match self {
            Self::Stateless => {}
            Self::Dense(kernel) => kernel.set_weight(gemm, weight),
            Self::DenseBackward(kernel) => kernel.set_weight(gemm, weight),
            Self::Conv2d(kernel) => kernel.set_weight(gemm, weight),
            Self::Conv2dBackward(kernel) => kernel.set_weight(gemm, weight),
        }
    }
}

fn dense_shape(graph: &Graph, weight: DenseWeight) -> DenseShape {
    let shape = &graph.layout.tensor(weight.tensor).shape;
    let [inputs, outputs] = if weight.transposed {
        [shape[1], shape[0]]
    } else {
        [shape[0], shape[1]]
    };
    DenseShape {
        inputs,
        outputs,
        is_transposed: weight.transposed,
    }
}
