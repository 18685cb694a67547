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
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    pub(crate) batches: usize,
}

/// How products are computed: which shape is fastest is a matter of the adapter, and measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// Workgroups share slabs of the factors: for hardware, whose workgroup memory is fast.
    Tiles,
    /// Every invocation has a block in its registers and shares nothing. So many invocations along rows, at most, and
    /// along columns are a workgroup.
    Blocks {
        /// Along rows.
        rows: u8,
        /// Along columns.
        columns: u8,
    },
}

impl Shape {
    /// What is measured on hardware.
    pub(crate) const ALL: [Self; 3] = [Self::Tiles, Self::NARROW, Self::SQUARE];
    /// What is measured on software, where barriers cost more than they save and kernels that have some take
    /// seconds to compile.
    pub(crate) const OF_SOFTWARE: [Self; 2] = [Self::NARROW, Self::SQUARE];
    /// Eight by four invocations: with fewer columns more products fit.
    pub(crate) const NARROW: Self = Self::Blocks {
        rows: 8,
        columns: 4,
    };
    const SQUARE: Self = Self::Blocks {
        rows: 8,
        columns: 8,
    };

    /// The tile for products with so many rows and columns.
    pub(super) fn tile(self, [rows, columns]: [usize; 2]) -> Tile {
        let Self::Blocks {
            rows: most,
            columns: across,
        } = self
        else {
            return Tile::shared(columns);
        };
        let is_wide = columns > 4 * usize::from(across);
        // Few kinds of tiles, as each is a kernel of its own.
        let is_low = rows <= LOW_TILE * BLOCK_ROWS;
        Tile {
            rows: if is_low { LOW_TILE } else { most.into() },
            columns: across.into(),
            block: [BLOCK_ROWS, if is_wide { 8 } else { 4 }],
            depth: 0,
        }
    }
}

/// Rows of a block in registers.
const BLOCK_ROWS: usize = 8;
/// Invocations along the rows of tiles for products with few rows, such as the gradient of a first convolution.
const LOW_TILE: usize = 2;

/// What a workgroup computes: invocations along rows and columns, the rows and columns of each, and the depth of a
/// shared slab, 0 if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    rows: usize,
    columns: usize,
    block: [usize; 2],
    depth: usize,
}

/// Tiles with shared slabs, by invocations along rows and columns and depth, from wide to narrow: of those that waste
/// the fewest columns, the first is taken.
const SHARED: [[usize; 3]; 3] = [[16, 16, 16], [32, 8, 16], [64, 4, 8]];

impl Tile {
    fn shared(columns: usize) -> Self {
        let padded = |[_, across, _]: &[usize; 3]| columns.next_multiple_of(4 * across);
        let best = SHARED.into_iter().min_by_key(padded);
        let [rows, columns, depth] = best.expect("there are tiles");
        Self {
            rows,
            columns,
            block: [4, 4],
            depth,
        }
    }

    /// Tiles along rows and columns of a product.
    pub(super) fn count(self, [rows, columns]: [usize; 2]) -> [usize; 2] {
        [
            rows.div_ceil(self.rows * self.block[0]),
            columns.div_ceil(self.columns * self.block[1]),
        ]
    }

    fn constants(self, along_depth: [bool; 2]) -> Vec<(&'static str, u32)> {
        let mut constants = vec![("ROWS", word(self.rows)), ("COLUMNS", word(self.columns))];
        if self.depth == 0 {
            constants.push(("WIDE", u32::from(self.block[1] == 8)));
        } else {
            let [left, right] = along_depth.map(u32::from);
            constants.push(("DEPTH", word(self.depth)));
            constants.push(("LEFT_ALONG_DEPTH", left));
            constants.push(("RIGHT_ALONG_DEPTH", right));
        }
        constants
    }
}

/// Dispatches for all tiles of `size`, as many at once as may be. `along_depth` says of either factor whether it lies
/// contiguous along the depth; `call` gets the first tile and the tiles in a row of tiles.
pub(super) fn tiled(
    (size, shape): (Size, Shape),
    slots: &[Slot],
    along_depth: [bool; 2],
    call: impl Fn([u32; 2]) -> Call,
) -> Vec<Dispatch> {
    let tile = shape.tile([size.rows, size.columns]);
    let [down, across] = tile.count([size.rows, size.columns]);
    let tiles = down * across;
    let tile_values = tile.rows * tile.columns * tile.block[0] * tile.block[1];
    let tile_flops = 2 * (tile_values * size.depth) as u64 * size.batches as u64;
    let at_once = usize::try_from(MAX_DISPATCH_FLOPS / tile_flops.max(1)).unwrap_or(usize::MAX);
    let at_once = at_once.clamp(1, MAX_WORKGROUPS);
    let constants = tile.constants(along_depth);
    let firsts = (0..tiles).step_by(at_once);
    let dispatch = |first: usize| {
        let count = at_once.min(tiles - first);
        let call = call([word(first), word(across)]);
        Dispatch {
            call: if tile.depth == 0 {
                call.in_blocks()
            } else {
                call
            },
            slots: slots.to_vec(),
            workgroups: [word(count), 1, word(size.batches)],
            constants: constants.clone(),
            flops: tile_flops * count as u64,
        }
    };
    firsts.map(dispatch).collect()
}

/// The parameters of a product of one pair of matrices, but for where they are.
pub(crate) fn matmul_params(size: Size) -> MatmulParams {
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
pub(crate) fn matmul(
    params: MatmulParams,
    shape: Shape,
    [left, right, product]: [Slot; 3],
) -> Vec<Dispatch> {
    matmul_with_epilogue(params, shape, [left, right, left, product, Slot::Void])
}

fn matmul_with_epilogue(params: MatmulParams, shape: Shape, slots: [Slot; 5]) -> Vec<Dispatch> {
    let size = Size {
        rows: params.rows as usize,
        columns: params.columns as usize,
        depth: params.depth as usize,
        batches: params.batches as usize,
    };
    let along_depth = [params.left_depth == 1, params.right_depth == 1];
    let call = |[first_tile, tiles_across]: [u32; 2]| {
        Call::Matmul(MatmulParams {
            tiles_across,
            first_tile,
            ..params
        })
    };
    tiled((size, shape), &slots, along_depth, call)
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
                    self.factor(input),
                    self.weights(),
                    Slot::Params,
                    self.places.of(output),
                    slope.map_or(Slot::Void, |id| self.places.of(id)),
                ];
                self.products(matmul_with_epilogue(params, self.shape, slots));
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
                if let Some(bias) = bias {
                    let grad = self.places.of(grad_output);
                    self.sum_rows(grad, [rows, outputs], bias, false);
                }
                let [input, grad] = [input, grad_output].map(|id| self.factor(id));
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
        let slots = [grad, self.weights(), target];
        self.products(matmul(params, self.shape, slots));
    }

    /// `d tensor = leftᵀ · right`, the sum over the rows of both.
    fn dense_weight(
        &mut self,
        tensor: TensorId,
        [left, right]: [Slot; 2],
        ([rows, columns], depth): ([usize; 2], usize),
        adds: bool,
    ) {
        let tiles = self.shape.tile([rows, columns]).count([rows, columns]);
        let most = most_parts(tiles[0] * tiles[1], depth);
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
            self.products(matmul(params, self.shape, slots));
            return;
        }
        let scratch = Slot::Scratch(0);
        self.products(matmul(params, self.shape, [left, right, scratch]));
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

/// Into how many parts the sums of a product of so many tiles may be divided.
pub(super) fn most_parts(tiles: usize, depth: usize) -> usize {
    (BUSY_WORKGROUPS / tiles).min(depth / MIN_PART_DEPTH).max(1)
}
