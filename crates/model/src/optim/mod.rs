//! Optimizers: what one step does to the parameters, given the mean gradient and the learning rate.
//!
//! Update rules follow PyTorch's definitions, so that recipes carry over. Each element's arithmetic is a
//! fixed sequence of IEEE operations without fusing: the same bits on every server.

mod adam;
mod sgd;

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "these values are exact: any difference is a mistake"
)]
mod tests;

pub use adam::AdamState;

use crate::rounding::narrow;

/// Values of a vector that are worked on at a time where a step is tried: all vectors of a block fit a CPU's first cache.
const BLOCK_VALUES: usize = 1_024;

/// A validated optimizer with its hyper-parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizerSpec {
    /// Learning rate before the schedule's factor.
    pub learning_rate: f32,
    /// L2 penalty added to the gradient, or decoupled for `AdamW`.
    pub weight_decay: f32,
    /// The update rule.
    pub rule: Rule,
}

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `p -= lr · g`.
    Sgd,
    /// `v = μ·v + g; p -= lr · v`.
    Momentum {
        /// μ.
        momentum: f32,
    },
    /// `v = μ·v + g; p -= lr · (g + μ·v)`.
    Nesterov {
        /// μ.
        momentum: f32,
    },
    /// Kingma & Ba, "Adam: a method for stochastic optimization", 2015.
    Adam {
        /// Decay of the first and the second moment.
        betas: [f32; 2],
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    Adamw {
        /// Decay of the first and the second moment.
        betas: [f32; 2],
        /// Added to the root of the second moment.
        epsilon: f32,
    },
}

impl OptimizerSpec {
    /// Stochastic gradient descent.
    pub fn sgd(learning_rate: f32, weight_decay: f32) -> Self {
        Self {
            learning_rate,
            weight_decay,
            rule: Rule::Sgd,
        }
    }

    /// Heavy-ball momentum.
    pub fn momentum(learning_rate: f32, momentum: f32, weight_decay: f32) -> Self {
        Self {
            learning_rate,
            weight_decay,
            rule: Rule::Momentum { momentum },
        }
    }

    /// Nesterov momentum.
    pub fn nesterov(learning_rate: f32, momentum: f32, weight_decay: f32) -> Self {
        Self {
            learning_rate,
            weight_decay,
            rule: Rule::Nesterov { momentum },
        }
    }

    /// Adam.
    pub fn adam(learning_rate: f32, betas: [f32; 2], epsilon: f32, weight_decay: f32) -> Self {
        Self {
            learning_rate,
            weight_decay,
            rule: Rule::Adam { betas, epsilon },
        }
    }

    /// Adam with decoupled weight decay.
    pub fn adamw(learning_rate: f32, betas: [f32; 2], epsilon: f32, weight_decay: f32) -> Self {
        Self {
            learning_rate,
            weight_decay,
            rule: Rule::Adamw { betas, epsilon },
        }
    }

    /// The hyper-parameters with their run-file keys.
    pub fn hyper_parameters(&self) -> Vec<(&'static str, f32)> {
        let mut all = vec![
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
        ];
        match self.rule {
            Rule::Sgd => {}
            Rule::Momentum { momentum } | Rule::Nesterov { momentum } => {
                all.push(("momentum", momentum));
            }
            Rule::Adam { betas, epsilon } | Rule::Adamw { betas, epsilon } => {
                all.extend([
                    ("beta1", betas[0]),
                    ("beta2", betas[1]),
                    ("epsilon", epsilon),
                ]);
            }
        }
        all
    }

    /// Number of state vectors of the length of the parameters.
    pub fn slots(&self) -> usize {
        match self.rule {
            Rule::Sgd => 0,
            Rule::Momentum { .. } | Rule::Nesterov { .. } => 1,
            Rule::Adam { .. } | Rule::Adamw { .. } => 2,
        }
    }
}

/// An optimizer with its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    spec: OptimizerSpec,
    slots: Vec<Vec<f32>>,
    adam: AdamState,
}

impl Optimizer {
    /// A fresh optimizer for `len` parameters.
    pub fn new(spec: OptimizerSpec, len: usize) -> Self {
        Self {
            spec,
            slots: vec![vec![0.0; len]; spec.slots()],
            adam: AdamState::default(),
        }
    }

    /// The optimizer with the state that [`Self::slots`] and [`Self::adam_state`] gave; none where the number
    /// or the lengths of the slots do not fit.
    pub fn restore(
        spec: OptimizerSpec,
        len: usize,
        slots: Vec<Vec<f32>>,
        adam: AdamState,
    ) -> Option<Self> {
        let fits = slots.len() == spec.slots() && slots.iter().all(|slot| slot.len() == len);
        fits.then_some(Self { spec, slots, adam })
    }

    /// The same state under another rule; a fresh one where that needs other vectors.
    #[must_use]
    pub fn under(self, spec: OptimizerSpec, len: usize) -> Self {
        if self.spec.slots() == spec.slots() {
            Self { spec, ..self }
        } else {
            Self::new(spec, len)
        }
    }

    /// The state vectors, for snapshots.
    pub fn slots(&self) -> &[Vec<f32>] {
        &self.slots
    }

    /// The scalar state, for snapshots.
    pub fn adam_state(&self) -> AdamState {
        self.adam
    }

    /// One step. All slices have the length of the parameters.
    pub fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f32) {
        let update = self.next_update(learning_rate);
        let mut slots = self.slots.iter_mut();
        let slots = [(); 2].map(|()| slots.next().map(Vec::as_mut_slice).unwrap_or_default());
        update.apply(params, gradient, slots);
    }

    /// The step that `from` would take, which stays as it is: this optimizer takes its state over.
    ///
    /// Both have the same rule, and all slices the length of the parameters.
    pub fn step_from(
        &mut self,
        from: &Self,
        params: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
    ) {
        self.adam = from.adam;
        let update = self.next_update(learning_rate);
        // Block by block: what was copied is in the cache when the rule reads it.
        for (block_idx, params) in params.chunks_mut(BLOCK_VALUES).enumerate() {
            let start = block_idx * BLOCK_VALUES;
            let range = start..start + params.len();
            for (slot, values) in self.slots.iter_mut().zip(&from.slots) {
                slot[range.clone()].copy_from_slice(&values[range.clone()]);
            }
            let mut slots = self.slots.iter_mut().map(|slot| &mut slot[range.clone()]);
            let slots = [(); 2].map(|()| slots.next().unwrap_or_default());
            update.apply(params, &gradient[range.clone()], slots);
        }
    }

    /// Advances to the next step and gives its scalars.
    fn next_update(&mut self, learning_rate: f32) -> Update {
        let decay = self.spec.weight_decay;
        match self.spec.rule {
            Rule::Sgd => Update::Plain([learning_rate, decay]),
            Rule::Momentum { momentum } => Update::Momentum([learning_rate, decay, momentum]),
            Rule::Nesterov { momentum } => Update::Nesterov([learning_rate, decay, momentum]),
            Rule::Adam { betas, epsilon } => Update::Adam(
                self.adam.advance(betas, epsilon, learning_rate),
                adam::Penalty::L2(decay),
            ),
            Rule::Adamw { betas, epsilon } => Update::Adam(
                self.adam.advance(betas, epsilon, learning_rate),
                adam::Penalty::Decoupled {
                    kept: 1.0 - learning_rate * decay,
                },
            ),
        }
    }
}

/// A rule with the scalars of one step.
#[derive(Debug, Clone, Copy)]
enum Update {
    /// Learning rate, decay.
    Plain([f32; 2]),
    /// Learning rate, decay, μ.
    Momentum([f32; 3]),
    /// Learning rate, decay, μ.
    Nesterov([f32; 3]),
    Adam(adam::AdamStep, adam::Penalty),
}

impl Update {
    /// Changes some of the parameters with the same part of the gradient and of the slots; a rule that needs fewer
    /// than two finds the others empty.
    fn apply(self, params: &mut [f32], gradient: &[f32], slots: [&mut [f32]; 2]) {
        match self {
            Self::Plain(hyper) => sgd::plain(params, gradient, hyper),
            Self::Momentum(hyper) => sgd::momentum(params, gradient, slots[0], hyper),
            Self::Nesterov(hyper) => sgd::nesterov(params, gradient, slots[0], hyper),
            Self::Adam(step, penalty) => step.apply(params, gradient, slots, penalty),
        }
    }
}

/// Scales `gradient` so that its Euclidean norm is at most `max_norm`; returns the norm before.
///
/// The norm is [`global_norm`].
pub fn clip_global_norm(gradient: &mut [f32], max_norm: f32) -> f64 {
    let norm = global_norm(gradient);
    if norm > f64::from(max_norm) {
        let scale = narrow(f64::from(max_norm) / norm);
        gradient.iter_mut().for_each(|g| *g *= scale);
    }
    norm
}

/// Euclidean norm in f64.
///
/// Element `i` goes to partial sum `i mod 8`, in flat order; the partial sums are added in order. One chain of
/// additions would wait for each of them.
pub fn global_norm(gradient: &[f32]) -> f64 {
    let mut partial = [0.0_f64; 8];
    for stripe in gradient.chunks(partial.len()) {
        for (sum, &g) in partial.iter_mut().zip(stripe) {
            *sum += f64::from(g) * f64::from(g);
        }
    }
    partial.iter().sum::<f64>().sqrt()
}
