//! Kernels written once over abstract SIMD registers.
//!
//! A [`Kernel`] is generic over an instruction set, an [`Isa`], and [`run`] compiles it for each
//! [`Path`]: with the path's CPU features, and with every operation inlined into it. An `Isa` is a value that
//! only code holding a promise about the CPU can make, so its operations are safe to call.
//!
//! All operations are correctly rounded and only [`Isa::multiply_add`] differs between the arithmetic
//! classes: whatever does without it has the same bits on every path of both classes.
#![allow(
    unsafe_code,
    reason = "SIMD intrinsics, and loads and stores through raw pointers"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod generic;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod stripes;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

use super::gemm::Path;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::has_avx512;
pub(crate) use generic::Scalar;

/// The most lanes that any register has.
pub(crate) const MAX_LANES: usize = 16;

/// An instruction set: registers of `f32` lanes and their operations.
pub(crate) trait Isa: Copy {
    /// A register.
    type Reg: Copy;
    /// Values in a register: a power of two, at most [`MAX_LANES`].
    const LANES: usize;
    /// Registers that a loop can keep values in.
    const REGISTERS: usize;

    /// The value in all lanes.
    fn splat(self, value: f32) -> Self::Reg;
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `from` must be readable for `LANES` values.
    unsafe fn load(self, from: *const f32) -> Self::Reg;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` values.
    unsafe fn store(self, to: *mut f32, value: Self::Reg);

    /// Reads the first `count` lanes; the others are zero.
    ///
    /// # Safety
    /// `from` must be readable for `count` values, at most `LANES`.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::Reg {
        let mut staged = [0.0; MAX_LANES];
        // SAFETY: the caller promises `count` readable values; there is room for any register.
        unsafe {
            std::ptr::copy_nonoverlapping(from, staged.as_mut_ptr(), count);
            self.load(staged.as_ptr())
        }
    }

    /// Writes the first `count` lanes.
    ///
    /// # Safety
    /// `to` must be writable for `count` values, at most `LANES`.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, value: Self::Reg, count: usize) {
        let mut staged = [0.0; MAX_LANES];
        // SAFETY: the caller promises room for `count` values; here is room for any register.
        unsafe {
            self.store(staged.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(staged.as_ptr(), to, count);
        }
    }

    /// `a + b`.
    fn add(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a - b`.
    fn sub(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a · b`.
    fn mul(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a / b`.
    fn div(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a` where `a > b`, else `b`: also where one is not a number, or both are zero.
    fn max(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// The magnitude.
    fn abs(self, a: Self::Reg) -> Self::Reg;
    /// `magnitude`, which has no sign, with the sign of `sign`.
    fn with_sign(self, magnitude: Self::Reg, sign: Self::Reg) -> Self::Reg;
    /// With operands `(a, b)`: `then` where `a < b`, else `otherwise`; also where one is not a number.
    fn select_less(
        self,
        operands: (Self::Reg, Self::Reg),
        then: Self::Reg,
        otherwise: Self::Reg,
    ) -> Self::Reg;
    /// `2^n` for `-126 <= n <= 127`, given as the float whose lowest nine bits are `n` in two's complement.
    fn power_of_two(self, n: Self::Reg) -> Self::Reg;
    /// Turns a square of `LANES` registers about its diagonal: lane `j` of register `i` becomes lane `i` of
    /// register `j`.
    fn transpose(self, square: &mut [Self::Reg]);
    /// `acc + a · b` with the roundings of the arithmetic class: the step of a chain.
    fn multiply_add(self, acc: Self::Reg, a: Self::Reg, b: Self::Reg) -> Self::Reg;

    /// [`Self::load`] from a slice of `LANES` values.
    #[inline(always)]
    fn read(self, from: &[f32]) -> Self::Reg {
        assert!(from.len() == Self::LANES, "a register's worth of values");
        // SAFETY: the length was just checked.
        unsafe { self.load(from.as_ptr()) }
    }

    /// [`Self::store`] to a slice of `LANES` values.
    #[inline(always)]
    fn write(self, to: &mut [f32], value: Self::Reg) {
        assert!(to.len() == Self::LANES, "a register's worth of values");
        // SAFETY: the length was just checked.
        unsafe { self.store(to.as_mut_ptr(), value) }
    }
}

/// Work that can be compiled for any instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// Does the work. Implementations are `#[inline(always)]`, so that they are compiled with the features of
    /// the caller.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// Runs a kernel with the instructions of `path`, which must be available.
pub(crate) fn run<K: Kernel>(path: Path, kernel: K) -> K::Output {
    match path {
        #[cfg(target_arch = "x86_64")]
        Path::Avx512Fma => avx512::run_fused(kernel),
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => avx512::run_portable(kernel),
        #[cfg(target_arch = "x86_64")]
        Path::Avx2Fma => avx2::run_fused(kernel),
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => avx2::run_portable(kernel),
        #[cfg(target_arch = "aarch64")]
        Path::NeonFma => kernel.run(neon::NeonFma::new()),
        #[cfg(target_arch = "aarch64")]
        Path::Neon => kernel.run(neon::Neon::new()),
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Path::WasmRelaxed => kernel.run(wasm::RelaxedSimd::new()),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Path::WasmSimd128 => kernel.run(wasm::Simd128::new()),
        #[cfg(any(target_arch = "aarch64", test))]
        Path::GenericFused => kernel.run(generic::GenericFused),
        Path::Generic => kernel.run(generic::Generic),
        path => unreachable!("{path:?} is not available and was refused"),
    }
}

#[cfg(test)]
mod tests;
