//! Products of a convolution whose channels keep to themselves: one channel into each group, and one out of it.
//!
//! As matrix products they would have a single column. Here the lanes of a register are channels instead, and
//! every lane is the same chain that the matrix product would have been.
#![allow(
    unsafe_code,
    reason = "loads and stores through raw pointers; bounds are asserted once per product"
)]

use crate::cpu::gemm::Places;
use crate::cpu::isa::{Isa, Kernel};

/// Rows whose chains run side by side: enough to hide how long one step of a chain takes.
const MAX_ROWS: usize = 8;

/// `target[row, c] = chain(k: values[rows[row] + depths[k] + c] · right[k, c])` for each channel `c`.
pub(super) struct Depthwise<'a> {
    /// What is read.
    pub(super) values: &'a [f32],
    /// A place for each row.
    pub(super) rows: Places<'a>,
    /// A place for each depth.
    pub(super) depths: Places<'a>,
    /// (depths, channels).
    pub(super) right: &'a [f32],
    /// (rows, channels).
    pub(super) target: &'a mut [f32],
    pub(super) channels: usize,
    /// Whether the chains go on from what the target holds instead of from +0.
    pub(super) accumulate: bool,
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let (channels, rows) = (self.channels, self.rows.values());
        let last = self.rows.largest() + self.depths.largest() + channels;
        assert!(last <= self.values.len(), "values too short");
        let depth = self.depths.values().len();
        assert!(
            depth * channels <= self.right.len(),
            "right operand too short"
        );
        assert!(
            rows.len() * channels <= self.target.len(),
            "target too short"
        );
        // As equal as possible: nine rows are 5 + 4 rather than 8 and a single slow chain.
        let blocks = rows.len().div_ceil(MAX_ROWS).max(1);
        let height = rows.len().div_ceil(blocks).max(1);
        for first in (0..rows.len()).step_by(height) {
            let rows = &rows[first..rows.len().min(first + height)];
            for channel in (0..channels).step_by(I::LANES) {
                let at = (first, channel);
                // SAFETY: every place plus `channel` and the channels from there on is within `values`, and so
                // are the rows of the other operands, as just checked.
                unsafe {
                    match rows.len() {
                        8 => self.chains::<I, 8>(isa, at, rows),
                        7 => self.chains::<I, 7>(isa, at, rows),
                        6 => self.chains::<I, 6>(isa, at, rows),
                        5 => self.chains::<I, 5>(isa, at, rows),
                        4 => self.chains::<I, 4>(isa, at, rows),
                        3 => self.chains::<I, 3>(isa, at, rows),
                        2 => self.chains::<I, 2>(isa, at, rows),
                        _ => self.chains::<I, 1>(isa, at, rows),
                    }
                }
            }
        }
    }
}

impl Depthwise<'_> {
    /// A register of channels from `channel` on, or those that are left, of the rows from `first` on.
    ///
    /// # Safety
    /// Values, right operand and target must hold what these rows and channels need.
    #[inline(always)]
    unsafe fn chains<I: Isa, const ROWS: usize>(
        &mut self,
        isa: I,
        (first, channel): (usize, usize),
        rows: &[u32],
    ) {
        let rows = *rows.first_chunk().expect("as many rows as were counted");
        // SAFETY: as the caller promises.
        unsafe {
            if channel + I::LANES <= self.channels {
                self.chains_of::<I, ROWS, true>(isa, (first, channel), rows);
            } else {
                self.chains_of::<I, ROWS, false>(isa, (first, channel), rows);
            }
        }
    }

    /// [`Self::chains`] where it is known whether the register is `FULL`.
    ///
    /// # Safety
    /// As [`Self::chains`].
    #[inline(always)]
    unsafe fn chains_of<I: Isa, const ROWS: usize, const FULL: bool>(
        &mut self,
        isa: I,
        (first, channel): (usize, usize),
        rows: [u32; ROWS],
    ) {
        let count = self.channels - channel;
        // SAFETY: `LANES` values, or `count` of them, are readable or writable, as the caller promises.
        let load = |from: *const f32| unsafe {
            if FULL {
                isa.load(from)
            } else {
                isa.load_part(from, count)
            }
        };
        // SAFETY: every offset is of an element that the caller promises.
        unsafe {
            let values = self.values.as_ptr().add(channel);
            let rows = rows.map(|row| values.add(row as usize));
            let right = self.right.as_ptr().add(channel);
            let to = self
                .target
                .as_mut_ptr()
                .add(first * self.channels + channel);
            let mut acc = [isa.splat(0.0); ROWS];
            if self.accumulate {
                for (row, acc) in acc.iter_mut().enumerate() {
                    *acc = load(to.add(row * self.channels));
                }
            }
            for (k, &depth) in self.depths.values().iter().enumerate() {
                let b = load(right.add(k * self.channels));
                for (acc, row) in acc.iter_mut().zip(rows) {
                    *acc = isa.multiply_add(*acc, load(row.add(depth as usize)), b);
                }
            }
            for (row, acc) in acc.into_iter().enumerate() {
                let to = to.add(row * self.channels);
                if FULL {
                    isa.store(to, acc);
                } else {
                    isa.store_part(to, acc, count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::{Offsets, Path};
    use crate::cpu::isa;
    use tabswarm_model::ArithmeticClass;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        let number = |idx: usize| ((idx + seed) * 7_919 % 8_191) as f32 / 4_096.0 - 0.9;
        (0..len).map(number).collect()
    }

    fn check(path: Path, rows: usize, depth: usize, channels: usize, accumulate: bool) {
        let row_places = Offsets::new((0..rows).map(|row| (row * 5 % rows) * channels));
        let depth_places = Offsets::new((0..depth).map(|k| (k * 3 % depth) * channels));
        let values = numbers((rows + depth - 1) * channels, 1);
        let right = numbers(depth * channels, 2);
        let held = numbers(rows * channels, 3);
        let mut target = held.clone();
        let kernel = Depthwise {
            values: &values,
            rows: row_places.all(),
            depths: depth_places.all(),
            right: &right,
            target: &mut target,
            channels,
            accumulate,
        };
        isa::run(path, kernel);
        for (idx, got) in target.iter().enumerate() {
            let (row, c) = (idx / channels, idx % channels);
            let mut chain = if accumulate { held[idx] } else { 0.0 };
            for k in 0..depth {
                let place = (row * 5 % rows + k * 3 % depth) * channels;
                let (a, b) = (values[place + c], right[k * channels + c]);
                chain = match path.class() {
                    ArithmeticClass::Fused => a.mul_add(b, chain),
                    ArithmeticClass::Portable => chain + a * b,
                };
            }
            assert_eq!(
                got.to_bits(),
                chain.to_bits(),
                "{path:?} {rows} {depth} {channels}"
            );
        }
    }

    #[test]
    fn every_path_equals_the_chains() {
        for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
            for channels in [1, 3, 4, 7, 8, 15, 16, 17, 33] {
                for rows in [1, 2, 3, 7, 8, 9, 17, 25] {
                    check(path, rows, 9, channels, false);
                    check(path, rows, 1, channels, true);
                    check(path, rows, 26, channels, true);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "values too short")]
    fn places_beyond_the_values_are_refused() {
        let rows = Offsets::new([0, 5].into_iter());
        let depths = Offsets::new([0, 3].into_iter());
        let kernel = Depthwise {
            values: &[0.0; 9],
            rows: rows.all(),
            depths: depths.all(),
            right: &[0.0; 4],
            target: &mut [0.0; 4],
            channels: 2,
            accumulate: false,
        };
        isa::run(Path::Generic, kernel);
    }
}
