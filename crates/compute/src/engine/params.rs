//! The parameters that operations read as they are.

use tabswarm_model::Graph;
use tabswarm_model::graph::Op;
use tabswarm_model::layout::TensorId;

use crate::cpu::aligned::AlignedBuffer;

/// Parameters in the order of the flat vector. Weights that are only ever read packed are left out: their
/// places hold nothing.
#[derive(Debug)]
pub(super) struct Params {
    values: AlignedBuffer,
    /// Where a tensor begins in `values`, and its length; none for one that is left out.
    places: Vec<Option<(usize, usize)>>,
}

impl Params {
    pub(super) fn new(graph: &Graph) -> Self {
        let mut is_read = vec![true; graph.layout.tensors().len()];
        for step in &graph.forward {
            if let Some(weight) = packed_weight(&step.op) {
                is_read[weight.0] = false;
            }
        }
        for step in &graph.forward {
            if let Op::Embedding { table, .. } = step.op {
                is_read[table.0] = true;
            }
        }
        let mut len = 0;
        let tensors = graph.layout.tensors().iter().zip(is_read);
        let places = tensors.map(|(tensor, is_read)| {
            let place = len;
            len += if is_read { tensor.len } else { 0 };
            is_read.then_some((place, tensor.len))
        });
        let places = places.collect();
        Self {
            values: AlignedBuffer::new(len),
            places,
        }
    }

    /// Takes over a new version, flat and in layout order.
    pub(super) fn set(&mut self, graph: &Graph, params: &[f32]) {
        for (tensor, place) in graph.layout.tensors().iter().zip(&self.places) {
            if let &Some((start, len)) = place {
                self.values[start..start + len].copy_from_slice(&params[tensor.range()]);
            }
        }
    }

    /// The values of a tensor that some operation reads as it is.
    pub(super) fn at(&self, id: TensorId) -> &[f32] {
        let (start, len) = self.places[id.0].expect("weights of products are read packed");
        &self.values[start..start + len]
    }
}

/// The weights that an operation keeps packed.
fn packed_weight(op: &Op) -> Option<TensorId> {
    match op {
        Op::Dense { weight, .. } => Some(weight.tensor),
        Op::Conv2d { weight, .. } => Some(*weight),
        _ => None,
    }
}
