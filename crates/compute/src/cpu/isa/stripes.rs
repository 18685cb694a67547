//! Striped sums, as the training graph defines them: [`STRIPES`] partial sums, joined in halves.

use tabswarm_model::graph::op::STRIPES;

use super::{Isa, MAX_LANES};

/// The values that all stripes take up at once.
pub(crate) type Chunk = [f32; STRIPES];

/// The partial sums of one striped sum, in registers.
pub(crate) struct Stripes<I: Isa> {
    /// The first `STRIPES / LANES` hold the stripes; the rest is never touched.
    regs: [I::Reg; STRIPES],
}

impl<I: Isa> Stripes<I> {
    /// All stripes at +0.
    #[inline(always)]
    pub(crate) fn new(isa: I) -> Self {
        const { assert!(MAX_LANES <= STRIPES && STRIPES.is_multiple_of(I::LANES)) }
        Self {
            regs: [isa.splat(0.0); STRIPES],
        }
    }

    /// Adds the register of values that begins at `offset` of a chunk to the stripes there.
    #[inline(always)]
    pub(crate) fn add(&mut self, isa: I, offset: usize, values: I::Reg) {
        let reg = &mut self.regs[offset / I::LANES];
        *reg = isa.add(*reg, values);
    }

    /// The sum of all stripes.
    #[inline(always)]
    pub(crate) fn total(&self, isa: I) -> f32 {
        let mut sums: Chunk = [0.0; STRIPES];
        for (to, reg) in sums.chunks_exact_mut(I::LANES).zip(self.regs) {
            isa.write(to, reg);
        }
        let mut half = STRIPES / 2;
        while half > 0 {
            for s in 0..half {
                sums[s] += sums[s + half];
            }
            half /= 2;
        }
        sums[0]
    }
}

/// The register of a chunk's values that begins at `offset`.
#[inline(always)]
pub(crate) fn part<I: Isa>(isa: I, chunk: &Chunk, offset: usize) -> I::Reg {
    isa.read(&chunk[offset..offset + I::LANES])
}

/// The values that are left over when a row is cut into chunks, filled up to one.
#[inline(always)]
pub(crate) fn padded(rest: &[f32], fill: f32) -> Chunk {
    let mut chunk = [fill; STRIPES];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}
