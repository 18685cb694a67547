//! Operations on single values.

use tabswarm_model::graph::{BufferId, Op};

use super::places::{Slot, only_signs};
use super::{Dispatch, HALF, Recorder, TURN_WORDS, activation_code, one_lane_a_value, word};
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
            Op::ActivationBackward { saved, grad, .. } => {
                self.activation_backward(op, saved, grad);
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

    /// From a copy in half precision where there is one that says enough.
    fn activation_backward(&mut self, op: &Op, saved: BufferId, grad: BufferId) {
        let Op::ActivationBackward { activation, .. } = *op else {
            unreachable!("{} is no activation", op.name())
        };
        let len = self.len(grad);
        let call = Call::ActivationBackward(ActivateParams {
            len: word(len),
            activation: activation_code(activation),
            has_slope: 0,
        });
        let has_copy = only_signs(op).is_some() && self.copied.contains(&saved);
        let (saved, constants) = if has_copy {
            (self.places.half_of(saved), vec![HALF])
        } else {
            (self.places.of(saved), Vec::new())
        };
        let slots = [saved, self.places.of(grad)];
        self.dispatches.push(Dispatch {
            constants,
            ..one_lane_a_value(call, &slots, len)
        });
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
