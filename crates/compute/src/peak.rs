//! What the arithmetic units of this machine do at most: multiplications and additions without any memory.
//!
//! The loops keep independent chains `x = x · a + b` in registers. Nothing is loaded or stored, so no kernel
//! with the same instructions can be faster. There is no clock here: whoever calls [`PeakLoop::run`] takes the
//! time.

use std::hint::black_box;

use tabswarm_model::ArithmeticClass;

/// Chains in flight. Current CPUs start at most two vector operations of a kind in a cycle and finish a
/// multiplication and an addition in at most six: twelve hide that, and fit sixteen registers with `a` and `b`.
const CHAINS: usize = 12;
/// With these every chain settles near 1: no overflow, and no subnormal numbers, which some CPUs are slow with.
const SCALE: f32 = 0.75;
const SHIFT: f32 = 0.25;

/// A loop of an arithmetic class with the widest registers of this machine.
#[derive(Debug, Clone, Copy)]
pub struct PeakLoop {
    body: fn(u32),
    lanes: usize,
}

impl PeakLoop {
    /// The loop of a class; none where the machine or the build has no instructions for it.
    pub fn new(class: ArithmeticClass) -> Option<Self> {
        let (body, lanes) = widest(class)?;
        Some(Self { body, lanes })
    }

    /// Computes, and says how many floating-point operations it were.
    pub fn run(&self, rounds: u32) -> u64 {
        (self.body)(black_box(rounds));
        u64::from(rounds) * (2 * CHAINS * self.lanes) as u64
    }
}

type Body = (fn(u32), usize);

/// A loop over registers of one type: how to fill one, and how to go one step.
macro_rules! chains {
    ($rounds:ident, $splat:path, |$x:ident, $a:ident, $b:ident| $step:expr) => {{
        let ($a, $b) = ($splat(black_box(SCALE)), $splat(black_box(SHIFT)));
        let mut chains = [$splat(0.0); CHAINS];
        // Different values, or the compiler would see that one chain is enough.
        for (chain, start) in chains
            .iter_mut()
            .zip([0.1_f32, 0.3, 0.5, 0.7].into_iter().cycle())
        {
            *chain = $splat(black_box(start));
        }
        for _ in 0..$rounds {
            for chain in &mut chains {
                let $x = *chain;
                *chain = $step;
            }
        }
        black_box(chains);
    }};
}

#[cfg(target_arch = "x86_64")]
fn widest(class: ArithmeticClass) -> Option<Body> {
    match class {
        ArithmeticClass::Fused => x86::fused(),
        ArithmeticClass::Portable => x86::portable().or(generic::PORTABLE),
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
fn widest(class: ArithmeticClass) -> Option<Body> {
    match class {
        ArithmeticClass::Fused => wasm::FUSED,
        ArithmeticClass::Portable => wasm::PORTABLE,
    }
}

#[cfg(target_arch = "aarch64")]
fn widest(class: ArithmeticClass) -> Option<Body> {
    match class {
        ArithmeticClass::Fused => neon::FUSED,
        ArithmeticClass::Portable => neon::PORTABLE,
    }
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_feature = "simd128"
)))]
fn widest(class: ArithmeticClass) -> Option<Body> {
    match class {
        ArithmeticClass::Fused => None,
        ArithmeticClass::Portable => generic::PORTABLE,
    }
}

#[cfg(not(any(target_arch = "aarch64", target_feature = "simd128")))]
mod generic {
    use super::{Body, CHAINS, SCALE, SHIFT, black_box};

    const LANES: usize = 4;
    pub(super) const PORTABLE: Option<Body> = Some((portable, LANES));

    fn splat(value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    fn portable(rounds: u32) {
        chains!(rounds, splat, |x, a, b| std::array::from_fn(|lane| x[lane]
            * a[lane]
            + b[lane]));
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "calls of functions for instruction sets, after their detection"
)]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_fmadd_ps, _mm256_mul_ps, _mm256_set1_ps, _mm512_add_ps,
        _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_ps,
    };

    use super::{Body, CHAINS, SCALE, SHIFT, black_box};

    pub(super) fn fused() -> Option<Body> {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512 is there, as just checked.
            return Some((|rounds| unsafe { avx512_fused(rounds) }, 16));
        }
        let has_fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        // SAFETY: AVX2 and FMA are there: the function is given away only then.
        has_fma.then_some((|rounds| unsafe { avx2_fused(rounds) }, 8))
    }

    pub(super) fn portable() -> Option<Body> {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512 is there, as just checked.
            return Some((|rounds| unsafe { avx512_portable(rounds) }, 16));
        }
        // SAFETY: AVX2 is there: the function is given away only then.
        is_x86_feature_detected!("avx2").then_some((|rounds| unsafe { avx2_portable(rounds) }, 8))
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2_fused(rounds: u32) {
        chains!(rounds, _mm256_set1_ps, |x, a, b| _mm256_fmadd_ps(x, a, b));
    }

    #[target_feature(enable = "avx2")]
    fn avx2_portable(rounds: u32) {
        chains!(rounds, _mm256_set1_ps, |x, a, b| _mm256_add_ps(
            _mm256_mul_ps(x, a),
            b
        ));
    }

    #[target_feature(enable = "avx512f")]
    fn avx512_fused(rounds: u32) {
        chains!(rounds, _mm512_set1_ps, |x, a, b| _mm512_fmadd_ps(x, a, b));
    }

    #[target_feature(enable = "avx512f")]
    fn avx512_portable(rounds: u32) {
        chains!(rounds, _mm512_set1_ps, |x, a, b| _mm512_add_ps(
            _mm512_mul_ps(x, a),
            b
        ));
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use std::arch::wasm32::{f32x4_add, f32x4_mul, f32x4_splat};

    use super::{Body, CHAINS, SCALE, SHIFT, black_box};

    const LANES: usize = 4;
    pub(super) const PORTABLE: Option<Body> = Some((portable, LANES));
    #[cfg(target_feature = "relaxed-simd")]
    pub(super) const FUSED: Option<Body> = Some((fused, LANES));
    #[cfg(not(target_feature = "relaxed-simd"))]
    pub(super) const FUSED: Option<Body> = None;

    fn portable(rounds: u32) {
        chains!(rounds, f32x4_splat, |x, a, b| f32x4_add(f32x4_mul(x, a), b));
    }

    #[cfg(target_feature = "relaxed-simd")]
    fn fused(rounds: u32) {
        use std::arch::wasm32::f32x4_relaxed_madd;
        chains!(rounds, f32x4_splat, |x, a, b| f32x4_relaxed_madd(x, a, b));
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(
    unsafe_code,
    reason = "NEON intrinsics, which are part of the base architecture"
)]
mod neon {
    use std::arch::aarch64::{float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vmulq_f32};

    use super::{Body, CHAINS, SCALE, SHIFT, black_box};

    const LANES: usize = 4;
    pub(super) const PORTABLE: Option<Body> = Some((portable, LANES));
    pub(super) const FUSED: Option<Body> = Some((fused, LANES));

    fn splat(value: f32) -> float32x4_t {
        // SAFETY: every aarch64 has NEON.
        unsafe { vdupq_n_f32(value) }
    }

    fn portable(rounds: u32) {
        // SAFETY: every aarch64 has NEON.
        chains!(rounds, splat, |x, a, b| unsafe {
            vaddq_f32(vmulq_f32(x, a), b)
        });
    }

    fn fused(rounds: u32) {
        // SAFETY: every aarch64 has NEON.
        chains!(rounds, splat, |x, a, b| unsafe { vfmaq_f32(b, x, a) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe;

    #[test]
    fn every_supported_class_has_a_loop_that_counts() {
        for class in probe::supported_classes() {
            let peak = PeakLoop::new(class).unwrap();
            let flops = peak.run(100);
            assert_eq!(flops, 100 * 24 * peak.lanes as u64, "{class:?}");
        }
    }
}
