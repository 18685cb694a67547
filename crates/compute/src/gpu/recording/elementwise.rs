//! Operations on single values.

use tabswarm_model::graph::{BufferId, Op};

use super::places::Slot;
use super::{Recorder, TURN_WORDS, activation_code, word};
use crate::gpu::kernels::Call;
use crate::gpu::params::{ActivateParams, DropoutParams, LenParams};

impl Recorder<'_> {
    pub(super) fn elementwise(&mut self, op: &Op) {
        match *op {
            Op::Activate {
                activation,
                input,
                output,
                slope,
            } => {
                let len = self.len(output);
                let call = Call::Activate(ActivateParams {
                    len: word(len),
                    activation: activation_code(activation),
                    has_slope: u32::from(slope.is_some()),
                });
                let slopes = slope.map_or(Slot::Void, |id| self.places.of(id));
                let slots = [self.places.of(input), self.places.of(output), slopes];
                self.values(call, &slots, len);
            }
            Op::ActivationBackward {
                activation,
                saved,
                grad,
            } => {
                let len = self.len(grad);
                let call = Call::ActivationBackward(ActivateParams {
                    len: word(len),
                    activation: activation_code(activation),
                    has_slope: 0,
                });
                let slots = [self.places.of(saved), self.places.of(grad)];
                self.values(call, &slots, len);
            }
            Op::Dropout {
                site,
                threshold,
                scale,
                input,
                output,
            }
            | Op::DropoutBackward {
                site,
                threshold,
                scale,
                grad_output: input,
                grad_input: output,
            } => {
                let len = self.len(output);
                let call = Call::Dropout(DropoutParams {
                    len: word(len),
                    site: site + word(TURN_WORDS / 2),
                    threshold,
                    scale,
                });
                let slots = [Slot::Turn, self.places.of(input), self.places.of(output)];
                self.values(call, &slots, len);
            }
            Op::Add {
                left,
                right,
                output,
            } => {
                let len = self.len(output);
                let slots = [left, right, output].map(|id| self.places.of(id));
                self.values(Call::Add(LenParams { len: word(len) }), &slots, len);
            }
            Op::Copy { input, output } => {
                let len = self.len(output);
                let slots = [input, output].map(|id| self.places.of(id));
                self.values(Call::Copy(LenParams { len: word(len) }), &slots, len);
            }
            _ => unreachable!("{} is not elementwise", op.name()),
        }
    }

    /// Values of a buffer, of all samples.
    pub(super) fn len(&self, id: BufferId) -> usize {
        self.samples * self.graph.features(id)
    }
}
