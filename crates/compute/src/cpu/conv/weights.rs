//! The weights of a convolution as its products read them.

use tabswarm_model::graph::shape::ConvShape;

use super::depthwise::Depthwise;
use crate::cpu::aligned::AlignedBuffer;
use crate::cpu::gemm::{Gemm, Left, Panels, Places, Target};
use crate::cpu::isa;

/// Whether each group has one channel on either side.
pub(super) fn is_depthwise(shape: &ConvShape) -> bool {
    shape.groups > 1 && shape.group_inputs() == 1 && shape.group_outputs() == 1
}

/// Weights that patches are multiplied with, group by group or channel by channel.
#[derive(Debug)]
pub(super) enum Weights {
    /// For each group `(depth, columns)`.
    Groups {
        panels: Vec<Panels>,
        /// Channels of a group that are read.
        inputs: usize,
        /// Channels of a group that are written.
        columns: usize,
    },
    /// `(depth, channels)`, for a [depthwise](is_depthwise) convolution.
    Depthwise {
        values: AlignedBuffer,
        channels: usize,
    },
}

impl Weights {
    /// Room for weights by which `inputs` channels of each group become `columns`, over `taps` positions; with none
    /// of them there is nothing to [multiply](Self::multiply) with.
    pub(super) fn new(
        gemm: &Gemm,
        shape: &ConvShape,
        taps: usize,
        [inputs, columns]: [usize; 2],
    ) -> Self {
        if is_depthwise(shape) {
            let channels = shape.groups;
            let values = AlignedBuffer::new(taps * channels);
            return Self::Depthwise { values, channels };
        }
        // Without taps there is nothing to pack.
        let groups = if taps == 0 { 0 } else { shape.groups };
        let panels = (0..groups).map(|_| gemm.panels(taps * inputs, columns));
        Self::Groups {
            panels: panels.collect(),
            inputs,
            columns,
        }
    }

    /// Takes over new weights: in group `group`, `weight(group, k, column)`.
    pub(super) fn set(&mut self, gemm: &Gemm, weight: impl Fn(usize, usize, usize) -> f32) {
        match self {
            Self::Groups { panels, .. } => {
                for (group, panels) in panels.iter_mut().enumerate() {
                    gemm.pack_with(panels, |k, column| weight(group, k, column));
                }
            }
            Self::Depthwise { values, channels } => {
                for (k, row) in values.chunks_exact_mut(*channels).enumerate() {
                    for (channel, to) in row.iter_mut().enumerate() {
                        *to = weight(channel, k, 0);
                    }
                }
            }
        }
    }

    /// `output (rows, channels)` from the patches that begin at `rows` and whose values are at `taps` from there, for
    /// the first group.
    pub(super) fn multiply(
        &self,
        gemm: &mut Gemm,
        values: &[f32],
        (rows, taps): (Places<'_>, Places<'_>),
        output: &mut [f32],
    ) {
        match self {
            Self::Groups {
                panels,
                inputs,
                columns,
            } => {
                for (group, weight) in panels.iter().enumerate() {
                    let left = Left::Gathered {
                        values: &values[group * inputs..],
                        rows,
                        depths: taps,
                    };
                    let target = Target {
                        values: &mut output[group * columns..],
                        stride: panels.len() * columns,
                        accumulate: false,
                    };
                    gemm.product(rows.values().len(), left, weight, target);
                }
            }
            Self::Depthwise {
                values: right,
                channels,
            } => isa::run(
                gemm.path(),
                Depthwise {
                    values,
                    rows,
                    depths: taps,
                    right,
                    target: output,
                    channels: *channels,
                    accumulate: false,
                },
            ),
        }
    }
}
