//! Products of matrices: which tiles, and how many at once.

use tabswarm_model::graph::{DenseWeight, Op};
use tabswarm_model::layout::TensorId;

use super::places::Slot;
use super::{Dispatch, MAX_WORKGROUPS, Recorder, activation_code, word};
use crate::gpu::kernels::Call;
use crate::gpu::params::MatmulParams;

/// Floating-point operations of a dispatch, at most, unless one row of batches has more: about 100 ms at the
/// 10 GFLOP/s of the slowest devices, so that desktops stay usable and watchdogs quiet.
const MAX_DISPATCH_FLOPS: u64 = 1 << 30;
/// Workgroups that keep a device busy: products with fewer tiles and long sums are divided into parts.
const BUSY_WORKGROUPS: usize = 64;
/// A part of a sum is at least so long.
const MIN_PART_DEPTH: usize = 128;

/// The size of some products of equal size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) batches: usize,
}

/// Invocations of a tile along rows and columns, each of which has 4 of both, and the depth of a slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    rows: usize,
    columns: usize,
    depth: usize,
}

/// Tiles from wide to narrow: of those that waste the fewest columns, the first is taken.
const TILES: [Tile; 3] = [
    Tile {
        rows: 16,
        columns: 16,
        depth: 16,
    },
    Tile {
        rows: 32,
        columns: 8,
        depth: 16,
    },
    Tile {
        rows: 64,
        columns: 4,
        depth: 8,
    },
];

impl Tile {
    /// The tile for products with so many columns.
    pub(super) fn for_columns(columns: usize) -> Self {
        let padded = |tile: &Self| columns.next_multiple_of(4 * tile.columns);
        let tiles = TILES.into_iter();
        let best = tiles.min_by_key(padded);
        best.expect("there are tiles")
    }
}

/// Dispatches for all tiles of `size`, as many at once as may be. `along_depth` says of either factor whether it lies
/// contiguous along the depth; `call` gets the first tile and the tiles in a row of tiles.
pub(super) fn tiled(
    size: Size,
    slots: &[Slot],
    along_depth: [bool; 2],
    call: impl Fn([u32; 2]) -> Call,
) -> Vec<Dispatch> {
    let tile = Tile::for_columns(size.columns);
    let across = size.columns.div_ceil(4 * tile.columns);
    let tiles = size.rows.div_ceil(4 * tile.rows) * across;
    let tile_values = 16 * tile.rows * tile.columns;
    let tile_flops = 2 * (tile_values * size.depth) as u64 * size.batches as u64;
    let at_once = usize::try_from(MAX_DISPATCH_FLOPS / tile_flops.max(1)).unwrap_or(usize::MAX);
    let at_once = at_once.clamp(1, MAX_WORKGROUPS);
    let [left, right] = along_depth.map(u32::from);
    let constants = vec![
        ("ROWS", word(tile.rows)),
        ("COLUMNS", word(tile.columns)),
        ("DEPTH", word(tile.depth)),
        ("LEFT_ALONG_DEPTH", left),
        ("RIGHT_ALONG_DEPTH", right),
    ];
    let firsts = (0..tiles).step_by(at_once);
    let dispatch = |first: usize| {
        let count = at_once.min(tiles - first);
        Dispatch {
            call: call([word(first), word(across)]),
            slots: slots.to_vec(),
            workgroups: [word(count), 1, word(size.batches)],
            constants: constants.clone(),
            flops: tile_flops * count as u64,
        }
    };
    firsts.map(dispatch).collect()
}

/// The parameters of a product of one pair of matrices, but for where they are.
pub(super) fn matmul_params(size: Size) -> MatmulParams {
    MatmulParams {
        rows: word(size.rows),
        columns: word(size.columns),
        depth: word(size.depth),
        batches: word(size.batches),
        heads: 1,
        scale: 1.0,
        ..MatmulParams::default()
    }
}

/// Dispatches of a product; `slots` are those of the left and right factor and of the product.
pub(super) fn matmul(params: MatmulParams, [left, right, product]: [Slot; 3]) -> Vec<Dispatch> {
    matmul_with_epilogue(params, [left, right, left, product, Slot::Void])
}

fn matmul_with_epilogue(params: MatmulParams, slots: [Slot; 5]) -> Vec<Dispatch> {
    let size = Size {
        rows: params.rows as usize,
        columns: params.columns as usize,
        depth: params.depth as usize,
        batches: params.batches as usize,
    };
    let along_depth = [params.left_depth == 1, params.right_depth == 1];
    tiled(size, &slots, along_depth, |[first_tile, tiles_across]| {
        Call::Matmul(MatmulParams {
            tiles_across,
            first_tile,
            ..params
        })
    })
}

impl Recorder<'_> {
    pub(super) fn dense(&mut self, op: &Op) {
        match *op {
            Op::Dense {
                weight,
                bias,
                rows,
                input,
                output,
                activation,
                slope,
            } => {
                let [inputs, outputs] = self.dense_sizes(weight);
                let size = Size {
                    rows: self.samples * rows,
                    columns: outputs,
                    depth: inputs,
                    batches: 1,
                };
                let [right_depth, right_column] = strides(weight, [inputs, outputs]);
                let params = MatmulParams {
                    left_row: word(inputs),
                    left_depth: 1,
                    right_start: self.offset(weight.tensor),
                    right_depth,
                    right_column,
                    target_row: word(outputs),
                    bias_start: bias.map_or(0, |id| self.offset(id)),
                    activation: activation_code(activation),
                    has_bias: u32::from(bias.is_some()),
                    has_slope: u32::from(slope.is_some()),
                    ..matmul_params(size)
                };
                let slots = [
                    self.places.of(input),
                    Slot::Params,
                    Slot::Params,
                    self.places.of(output),
                    slope.map_or(Slot::Void, |id| self.places.of(id)),
                ];
                self.dispatches.extend(matmul_with_epilogue(params, slots));
            }
            Op::DenseBackward {
                weight,
                bias,
                rows,
                input,
                grad_output,
                grad_input,
                adds,
            } => {
                let [inputs, outputs] = self.dense_sizes(weight);
                let rows = self.samples * rows;
                let [input, grad] = [input, grad_output].map(|id| self.places.of(id));
                if let Some(bias) = bias {
                    self.sum_rows(grad, [rows, outputs], bias, false);
                }
                // The tensor's rows come from one factor, its columns from the other.
                let (factors, sizes) = if weight.transposed {
                    ([grad, input], [outputs, inputs])
                } else {
                    ([input, grad], [inputs, outputs])
                };
                self.dense_weight(weight.tensor, factors, (sizes, rows), adds);
                if let Some(grad_input) = grad_input {
                    let target = self.places.of(grad_input);
                    self.dense_input(weight, [grad, target], rows);
                }
            }
            _ => unreachable!("{} is not dense", op.name()),
        }
    }

    /// `d input = d output · weightᵀ`.
    fn dense_input(&mut self, weight: DenseWeight, [grad, target]: [Slot; 2], rows: usize) {
        let [inputs, outputs] = self.dense_sizes(weight);
        let size = Size {
            rows,
            columns: inputs,
            depth: outputs,
            batches: 1,
        };
        let [right_column, right_depth] = strides(weight, [inputs, outputs]);
        let params = MatmulParams {
            left_row: word(outputs),
            left_depth: 1,
            right_start: self.offset(weight.tensor),
            right_depth,
            right_column,
            target_row: word(inputs),
            ..matmul_params(size)
        };
        let slots = [grad, Slot::Params, target];
        self.dispatches.extend(matmul(params, slots));
    }

    /// `d tensor = leftᵀ · right`, the sum over the rows of both.
    fn dense_weight(
        &mut self,
        tensor: TensorId,
        [left, right]: [Slot; 2],
        ([rows, columns], depth): ([usize; 2], usize),
        adds: bool,
    ) {
        let most = most_parts([rows, columns], depth);
        let divides = |parts: &usize| depth.is_multiple_of(*parts);
        let parts = (1..=most).rev().find(divides).unwrap_or(1);
        let part_depth = depth / parts;
        if most > 1 {
            // Also for fewer samples, of which there may be more parts.
            self.need_scratch(Slot::Scratch(0), most * rows * columns);
        }
        let size = Size {
            rows,
            columns,
            depth: part_depth,
            batches: parts,
        };
        let params = MatmulParams {
            left_row: 1,
            left_depth: word(rows),
            left_sample: word(part_depth * rows),
            right_depth: word(columns),
            right_column: 1,
            right_sample: word(part_depth * columns),
            target_row: word(columns),
            target_sample: word(rows * columns),
            ..matmul_params(size)
        };
        if parts == 1 {
            let params = MatmulParams {
                target_start: self.offset(tensor),
                adds: u32::from(adds),
                ..params
            };
            let slots = [left, right, Slot::Gradient];
            self.dispatches.extend(matmul(params, slots));
            return;
        }
        let scratch = Slot::Scratch(0);
        self.dispatches
            .extend(matmul(params, [left, right, scratch]));
        self.sum_rows(scratch, [parts, rows * columns], tensor, adds);
    }

    /// Inputs and outputs of a dense layer.
    fn dense_sizes(&self, weight: DenseWeight) -> [usize; 2] {
        let shape = &self.graph.layout.tensor(weight.tensor).shape;
        if weight.transposed {
            [shape[1], shape[0]]
        } else {
            [shape[0], shape[1]]
        }
    }
}

/// Distance in the weights from one input to the next, and from one output to the next.
fn strides(weight: DenseWeight, [inputs, outputs]: [usize; 2]) -> [u32; 2] {
    if weight.transposed {
        [1, word(inputs)]
    } else {
        [word(outputs), 1]
    }
}

/// Into how many equal parts the sums of a product may be divided.
fn most_parts([rows, columns]: [usize; 2], depth: usize) -> usize {
    let tile = Tile::for_columns(columns);
    let tiles = rows.div_ceil(4 * tile.rows) * columns.div_ceil(4 * tile.columns);
    (BUSY_WORKGROUPS / tiles).min(depth / MIN_PART_DEPTH).max(1)
}
