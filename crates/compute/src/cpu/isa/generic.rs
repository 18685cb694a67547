//! Plain Rust: fixed-size arrays that the compiler turns into whatever SIMD there is, and single values.

use super::Isa;

/// Multiply, round, add, round; on every CPU.
#[derive(Clone, Copy)]
pub(super) struct Generic;

/// Multiply and add with one rounding; where that is an instruction of the base architecture.
#[cfg(any(target_arch = "aarch64", test))]
#[derive(Clone, Copy)]
pub(super) struct GenericFused;

/// One lane: the ends of slices, whatever the path. It has no chains of its own, so it needs no class.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

macro_rules! array_register {
    ($isa:ty, $lanes:literal, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Isa for $isa {
            type Reg = [f32; $lanes];
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;

            #[inline(always)]
            fn splat(self, value: f32) -> Self::Reg {
                [value; $lanes]
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> Self::Reg {
                // SAFETY: the caller promises `LANES` readable values.
                unsafe { from.cast::<Self::Reg>().read_unaligned() }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32, value: Self::Reg) {
                // SAFETY: the caller promises room for `LANES` values.
                unsafe { to.cast::<Self::Reg>().write_unaligned(value) }
            }

            #[inline(always)]
            fn add(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
                each(|i| a[i] + b[i])
            }

            #[inline(always)]
            fn sub(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
                each(|i| a[i] - b[i])
            }

            #[inline(always)]
            fn mul(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
                each(|i| a[i] * b[i])
            }

            #[inline(always)]
            fn div(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
                each(|i| a[i] / b[i])
            }

            #[inline(always)]
            fn max(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
                each(|i| if a[i] > b[i] { a[i] } else { b[i] })
            }

            #[inline(always)]
            fn abs(self, a: Self::Reg) -> Self::Reg {
                each(|i| a[i].abs())
            }

            #[inline(always)]
            fn with_sign(self, magnitude: Self::Reg, sign: Self::Reg) -> Self::Reg {
                each(|i| magnitude[i].copysign(sign[i]))
            }

            #[inline(always)]
            fn select_less(
                self,
                (a, b): (Self::Reg, Self::Reg),
                then: Self::Reg,
                otherwise: Self::Reg,
            ) -> Self::Reg {
                each(|i| if a[i] < b[i] { then[i] } else { otherwise[i] })
            }

            #[inline(always)]
            fn power_of_two(self, n: Self::Reg) -> Self::Reg {
                each(|i| f32::from_bits(n[i].to_bits().wrapping_add(127) << 23))
            }

            #[inline(always)]
            fn transpose(self, square: &mut [Self::Reg]) {
                let from: [Self::Reg; $lanes] = square.try_into().expect("a square");
                for (j, to) in square.iter_mut().enumerate() {
                    *to = each(|i| from[i][j]);
                }
            }

            #[inline(always)]
            fn multiply_add(self, $acc: Self::Reg, $a: Self::Reg, $b: Self::Reg) -> Self::Reg {
                $multiply_add
            }
        }
    };
}

array_register!(Scalar, 1, |acc, a, b| [acc[0] + a[0] * b[0]]);
array_register!(Generic, 8, |acc, a, b| each(|i| acc[i] + a[i] * b[i]));
#[cfg(any(target_arch = "aarch64", test))]
array_register!(GenericFused, 8, |acc, a, b| each(
    |i| a[i].mul_add(b[i], acc[i])
));

#[inline(always)]
fn each<const LANES: usize>(lane: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut reg = [0.0; LANES];
    for (i, value) in reg.iter_mut().enumerate() {
        *value = lane(i);
    }
    reg
}
