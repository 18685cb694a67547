//! Runs recordings with the kernels' twins, on the CPU.

use std::collections::BTreeMap;

use super::kernels::Binding;
use super::recording::Dispatch;
use super::recording::places::Slot;
use super::twins::{halves, values_of_halves};

/// Device buffers as vectors.
#[derive(Debug, Clone)]
pub(super) struct Simulation {
    buffers: BTreeMap<Slot, Vec<f32>>,
}

impl Simulation {
    /// Zeroed buffers of these sizes.
    pub(super) fn new(sizes: &BTreeMap<Slot, usize>) -> Self {
        let buffers = sizes
            .iter()
            .map(|(slot, values)| (*slot, vec![0.0; (*values).max(4)]));
        Self {
            buffers: buffers.collect(),
        }
    }

    pub(super) fn at(&self, slot: Slot) -> &[f32] {
        &self.buffers[&slot]
    }

    pub(super) fn write(&mut self, slot: Slot, values: &[f32]) {
        let buffer = self.buffers.get_mut(&slot).expect("every slot has a size");
        buffer[..values.len()].copy_from_slice(values);
    }

    /// Twins know nothing of words with two values: they get the values, and what they leave is rounded.
    pub(super) fn run(&mut self, dispatch: &Dispatch) {
        let bindings = dispatch.call.kernel().bindings;
        let uses = dispatch.slots.iter().zip(bindings);
        let mut bound: Vec<Vec<f32>> = uses
            .clone()
            .map(|(slot, _)| match &self.buffers[slot] {
                words if slot.has_halves() => values_of_halves(words),
                values => values.clone(),
            })
            .collect();
        dispatch.call.run_twin(&mut bound);
        for ((slot, binding), values) in uses.zip(bound) {
            if *binding == Binding::Write {
                let values = if slot.has_halves() {
                    as_values(&halves(&values))
                } else {
                    values
                };
                self.buffers.insert(*slot, values);
            }
        }
    }
}

/// Words, held as everything else is.
pub(super) fn as_values(words: &[u32]) -> Vec<f32> {
    words.iter().copied().map(f32::from_bits).collect()
}
