//! The master parameters of a run with everything that an optimizer step changes.
//!
//! Plain arithmetic over slices: the server and the simulation both drive it, so both get the same bits.

use std::sync::Arc;

use crate::digest::Digest;
use crate::fixed_point;
use crate::init::initial_params;
use crate::layout::Layout;
use crate::optim::{Optimizer, clip_global_norm, global_norm};
use crate::rounding::narrow;
use crate::run_file::{Codec, Run};

/// Master parameters, optimizer state and the accumulator of the step in progress.
#[derive(Debug, Clone)]
pub struct Master {
    layout: Layout,
    params: Arc<[f32]>,
    optimizer: Optimizer,
    /// Where the next step is tried, so that a step that diverges leaves no trace.
    trial: Optimizer,
    learning_rate: f32,
    clip_norm: Option<f32>,
    sums: Vec<i64>,
    /// Nothing is accumulated: what the sums hold is of another step.
    is_empty: bool,
    /// What the newest step added up, for the log.
    applied: AppliedSums,
    gradient: Vec<f32>,
}

/// The accumulated update of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum AppliedSums {
    /// Fixed-point sums.
    Exact(Vec<i64>),
    /// `f32` sums.
    F32(Vec<f32>),
}

/// What a step needs besides the accumulated gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct StepInput<'a> {
    /// Fixed-point exponents, one per tensor.
    pub exponents: &'a [i8],
    /// What the sums are divided by: samples of the step, or shards of the round. With 0 the step is skipped:
    /// parameters and optimizer stay as they are.
    pub divisor: u64,
    /// The schedule's factor of the learning rate.
    pub rate_factor: f64,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Digest of the new parameters.
    pub digest: Digest,
    /// Largest absolute accumulated value of each tensor, in fixed point.
    pub max_abs_sums: Vec<u64>,
    /// Norm of the mean gradient before clipping.
    pub gradient_norm: f64,
}

/// The new parameters would not be finite; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the step would make parameter {parameter_idx} infinite or not a number: lower the learning rate or set train.clip_norm"
)]
pub struct Diverged {
    /// Index in the flat vector.
    pub parameter_idx: usize,
}

impl Master {
    /// Version 0 of a run.
    pub fn new(run: &Run) -> Self {
        let layout = run.graph().layout;
        let params = initial_params(&layout, run.seed);
        let optimizer = Optimizer::new(run.master_optimizer(), params.len());
        Self::restore(run, params, optimizer)
    }

    /// A later version; `params` and `optimizer` have the model's length.
    pub fn restore(run: &Run, params: Vec<f32>, optimizer: Optimizer) -> Self {
        let layout = run.graph().layout;
        let len = layout.len();
        assert_eq!(params.len(), len, "the caller has checked the length");
        Self {
            layout,
            params: params.into(),
            trial: optimizer.clone(),
            optimizer,
            learning_rate: run.master_optimizer().learning_rate,
            clip_norm: run.master_clip_norm(),
            sums: vec![0; len],
            is_empty: true,
            applied: match run.codec {
                Codec::Exact => AppliedSums::Exact(vec![0; len]),
                Codec::F32 => AppliedSums::F32(vec![0.0; len]),
            },
            gradient: vec![0.0; len],
        }
    }

    /// The same parameters under other settings. Where its state means nothing there, the optimizer begins anew.
    #[must_use]
    pub fn changed(&self, from: &Run, to: &Run) -> Self {
        let (spec, len) = (to.master_optimizer(), self.layout.len());
        let optimizer = if from.keeps_optimizer_state(to) {
            self.optimizer.clone().under(spec, len)
        } else {
            Optimizer::new(spec, len)
        };
        Self::restore(to, self.params.to_vec(), optimizer)
    }

    /// The parameters of the current version.
    pub fn params(&self) -> &Arc<[f32]> {
        &self.params
    }

    /// The optimizer, for snapshots.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The layout of the parameters.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes the accumulated update of the newest step that was applied; `other`, of any content, takes its
    /// place.
    pub fn take_applied_sums(&mut self, other: AppliedSums) -> AppliedSums {
        std::mem::replace(&mut self.applied, other)
    }

    /// The accumulated update of the newest step that was applied.
    pub fn applied_sums(&self) -> &AppliedSums {
        &self.applied
    }

    /// Forgets what was accumulated.
    pub fn reset(&mut self) {
        self.is_empty = true;
    }

    /// Adds the fixed-point sums of an update.
    pub fn accumulate(&mut self, update: &[i32]) {
        debug_assert_eq!(update.len(), self.sums.len(), "decoders check the length");
        let pairs = self.sums.iter_mut().zip(update);
        if std::mem::take(&mut self.is_empty) {
            pairs.for_each(|(sum, &value)| *sum = i64::from(value));
        } else {
            pairs.for_each(|(sum, &value)| *sum += i64::from(value));
        }
    }

    /// Applies the accumulated fixed-point gradient and empties the accumulator.
    ///
    /// # Errors
    /// [`Diverged`]; the parameters, the optimizer and the accumulator are as before.
    pub fn apply_exact(&mut self, input: &StepInput<'_>) -> Result<StepReport, Diverged> {
        if std::mem::take(&mut self.is_empty) {
            self.sums.fill(0);
        }
        let max_abs_sums = fixed_point::mean_gradient(
            &self.sums,
            &self.layout,
            input.exponents,
            input.divisor,
            &mut self.gradient,
        );
        let report = self.apply_gradient(input, max_abs_sums)?;
        if let AppliedSums::Exact(applied) = &mut self.applied {
            std::mem::swap(applied, &mut self.sums);
        }
        self.reset();
        Ok(report)
    }

    /// Applies a step again from the sums that it added up; nothing is accumulated at the time.
    ///
    /// # Errors
    /// [`Diverged`], which the first time can't have been.
    pub fn replay(
        &mut self,
        sums: AppliedSums,
        input: &StepInput<'_>,
    ) -> Result<StepReport, Diverged> {
        match sums {
            AppliedSums::Exact(sums) => {
                assert_eq!(
                    sums.len(),
                    self.sums.len(),
                    "the caller has checked the length"
                );
                self.sums = sums;
                self.is_empty = false;
                self.apply_exact(input)
            }
            AppliedSums::F32(sums) => self.apply_f32(&[sums], input),
        }
    }

    /// Applies `f32` gradient sums, added in the order given.
    ///
    /// # Errors
    /// [`Diverged`]; the parameters and the optimizer are as before.
    pub fn apply_f32(
        &mut self,
        updates: &[Vec<f32>],
        input: &StepInput<'_>,
    ) -> Result<StepReport, Diverged> {
        self.gradient.fill(0.0);
        for update in updates {
            for (g, &value) in self.gradient.iter_mut().zip(update) {
                *g += value;
            }
        }
        if let AppliedSums::F32(applied) = &mut self.applied {
            applied.copy_from_slice(&self.gradient);
        }
        let scale = narrow(1.0 / input.divisor.max(1) as f64);
        self.gradient.iter_mut().for_each(|g| *g *= scale);
        let tensors = self.layout.tensors().len();
        self.apply_gradient(input, vec![0; tensors])
    }

    fn apply_gradient(
        &mut self,
        input: &StepInput<'_>,
        max_abs_sums: Vec<u64>,
    ) -> Result<StepReport, Diverged> {
        if input.divisor == 0 {
            return Ok(StepReport {
                digest: Digest::of_params(&self.params),
                max_abs_sums,
                gradient_norm: 0.0,
            });
        }
        let gradient_norm = match self.clip_norm {
            Some(max_norm) => clip_global_norm(&mut self.gradient, max_norm),
            None => global_norm(&self.gradient),
        };
        let learning_rate = narrow(f64::from(self.learning_rate) * input.rate_factor);
        let mut next: Arc<[f32]> = Arc::from(&*self.params);
        let params = Arc::get_mut(&mut next).expect("nobody else has it yet");
        self.trial
            .step_from(&self.optimizer, params, &self.gradient, learning_rate);
        // All of them first, which compilers vectorize and a search not.
        if !params.iter().fold(true, |all, p| all & p.is_finite())
            && let Some(parameter_idx) = params.iter().position(|p| !p.is_finite())
        {
            return Err(Diverged { parameter_idx });
        }
        self.params = next;
        std::mem::swap(&mut self.optimizer, &mut self.trial);
        Ok(StepReport {
            digest: Digest::of_params(&self.params),
            max_abs_sums,
            gradient_norm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> Master {
        let text = r#"
name = "master"
seed = 1
data = { format = "idx", path = "d" }
model = { input = [2], layers = [{ kind = "dense", units = 2 }], loss = "softmax_cross_entropy" }
train = { epochs = 1, micro_batch = 2, global_batch = 8 }
optimizer = { kind = "adam", learning_rate = 0.5 }
"#;
        Master::new(&Run::from_toml(text).unwrap())
    }

    const INPUT: StepInput<'_> = StepInput {
        exponents: &[4, 2],
        divisor: 8,
        rate_factor: 1.0,
    };

    #[test]
    fn a_step_is_made_of_what_came_since_the_last_one() {
        let (mut one, mut two) = (master(), master());
        one.accumulate(&[9, 9, 9, 9, 9, 9]);
        one.reset();
        one.accumulate(&[3, -7, 0, 1, 2, 100]);
        two.accumulate(&[1, -3, 0, 1, -2, 90]);
        two.accumulate(&[2, -4, 0, 0, 4, 10]);
        let report = one.apply_exact(&INPUT).unwrap();
        assert_eq!(report.max_abs_sums, [7, 100]);
        assert_eq!(two.apply_exact(&INPUT), Ok(report));
        assert_eq!(one.applied_sums(), two.applied_sums());

        // A step of nothing: the sums of the last one do not come again.
        let nothing = one.apply_exact(&INPUT).unwrap();
        assert_eq!(nothing.max_abs_sums, [0, 0]);
        two.accumulate(&[0; 6]);
        assert_eq!(two.apply_exact(&INPUT), Ok(nothing));
    }

    #[test]
    fn a_step_that_diverges_leaves_no_trace() {
        let mut master = master();
        master.accumulate(&[1, 2, 3, 4, 5, 6]);
        let before = (master.params().clone(), master.optimizer().clone());
        let endless = StepInput {
            rate_factor: f64::INFINITY,
            ..INPUT
        };
        assert_eq!(
            master.apply_exact(&endless),
            Err(Diverged { parameter_idx: 0 })
        );
        assert_eq!(
            (master.params(), master.optimizer()),
            (&before.0, &before.1)
        );
        assert_eq!(master.apply_exact(&INPUT).unwrap().max_abs_sums, [4, 6]);
    }
}
