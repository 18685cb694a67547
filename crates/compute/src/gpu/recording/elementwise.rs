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
                let call = Call::ActivationBackward(ActivateParams {
                    len: word(self.len(grad)),
                    activation: activation_code(activation),
                    has_slope: 0,
                });
                self.over(&[saved, grad], call);
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
                let len = word(self.len(output));
                self.over(&[left, right, output], Call::Add(LenParams { len }));
            }
            Op::Copy { input, output } => {
                let len = word(self.len(output));
                self.over(&[input, output], Call::Copy(LenParams { len }));
            }
            _ => unreachable!("{} is not elementwise", op.name()),
        }
    }

    /// A call over whole buffers, the last of which is written.
    fn over(&mut self, ids: &[BufferId], call: Call) {
        let slots: Vec<Slot> = ids.iter().map(|id| self.places.of(*id)).collect();
        let len = ids.last().map_or(0, |id| self.len(*id));
        self.values(call, &slots, len);
    }

    /// Values of a buffer, of all samples.
    pub(super) fn len(&self, id: BufferId) -> usize {
        self.samples * self.graph.features(id)
    }
}
