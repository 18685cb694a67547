//! Which inner loops this machine has.

use tabswarm_model::ArithmeticClass;

use super::generic;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::strip::Strip;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::wasm;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
#[cfg(target_arch = "x86_64")]
use crate::cpu::isa::has_avx512;

/// An implementation of the inner loops of the matrix product.
///
/// All paths of one arithmetic class give the same bits; [`probe`](crate::probe) holds them to it at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// AVX-512 with fused multiply-add (x86-64).
    Avx512Fma,
    /// AVX-512, multiply then add (x86-64).
    Avx512,
    /// AVX2 with fused multiply-add (x86-64).
    Avx2Fma,
    /// AVX2, multiply then add (x86-64).
    Avx2,
    /// NEON with fused multiply-add (aarch64).
    NeonFma,
    /// NEON, multiply then add (aarch64).
    Neon,
    /// Relaxed SIMD multiply-add (wasm32 built with it).
    WasmRelaxed,
    /// 128-bit SIMD, multiply then add (wasm32 built with it).
    WasmSimd128,
    /// Plain Rust with `mul_add`, where that is an instruction of the base architecture (aarch64).
    GenericFused,
    /// Plain Rust, everywhere.
    Generic,
}

impl Path {
    /// All paths, the fastest of each class first.
    pub const ALL: [Self; 10] = [
        Self::Avx512Fma,
        Self::Avx512,
        Self::Avx2Fma,
        Self::Avx2,
        Self::NeonFma,
        Self::Neon,
        Self::WasmRelaxed,
        Self::WasmSimd128,
        Self::GenericFused,
        Self::Generic,
    ];

    /// The path's name for people, command lines and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avx512Fma => "avx512-fma",
            Self::Avx512 => "avx512",
            Self::Avx2Fma => "avx2-fma",
            Self::Avx2 => "avx2",
            Self::NeonFma => "neon-fma",
            Self::Neon => "neon",
            Self::WasmRelaxed => "wasm-relaxed",
            Self::WasmSimd128 => "wasm-simd128",
            Self::GenericFused => "generic-fma",
            Self::Generic => "generic",
        }
    }

    /// The class whose bits this path gives (for [`Path::WasmRelaxed`]: should give).
    pub fn class(self) -> ArithmeticClass {
        match self {
            Self::Avx512Fma
            | Self::Avx2Fma
            | Self::NeonFma
            | Self::WasmRelaxed
            | Self::GenericFused => ArithmeticClass::Fused,
            Self::Avx512 | Self::Avx2 | Self::Neon | Self::WasmSimd128 | Self::Generic => {
                ArithmeticClass::Portable
            }
        }
    }

    /// Whether this build on this machine can run it.
    pub fn is_available(self) -> bool {
        self.inner().is_some()
    }

    /// The inner loops and their tile shape; none where they cannot run.
    pub(super) fn inner(self) -> Option<Inner> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Fma if has_avx512() => Some(Inner {
                mr: avx512::MR,
                nr: avx512::NR,
                strip: avx512::strip_fused,
            }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if has_avx512() => Some(Inner {
                mr: avx512::MR,
                nr: avx512::NR,
                strip: avx512::strip_portable,
            }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Fma if avx2::has_avx2_fma() => Some(Inner {
                mr: avx2::MR,
                nr: avx2::NR,
                strip: avx2::strip_fused,
            }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if avx2::has_avx2() => Some(Inner {
                mr: avx2::MR,
                nr: avx2::NR,
                strip: avx2::strip_portable,
            }),
            #[cfg(target_arch = "aarch64")]
            Self::NeonFma => Some(Inner {
                mr: neon::MR,
                nr: neon::NR,
                strip: neon::strip_fused,
            }),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => Some(Inner {
                mr: neon::MR,
                nr: neon::NR,
                strip: neon::strip_portable,
            }),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Self::WasmRelaxed => Some(Inner {
                mr: wasm::MR,
                nr: wasm::NR,
                strip: wasm::strip_relaxed,
            }),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::WasmSimd128 => Some(Inner {
                mr: wasm::MR,
                nr: wasm::NR,
                strip: wasm::strip_portable,
            }),
            // In tests everywhere: without the instruction it is slow, not wrong.
            #[cfg(any(target_arch = "aarch64", test))]
            Self::GenericFused => Some(Inner {
                mr: generic::MR,
                nr: generic::NR,
                strip: generic::strip_fused,
            }),
            Self::Generic => Some(Inner {
                mr: generic::MR,
                nr: generic::NR,
                strip: generic::strip_portable,
            }),
            _ => None,
        }
    }
}

/// A path's entry point and the tile shape that operands are packed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inner {
    pub(super) mr: usize,
    pub(super) nr: usize,
    pub(super) strip: fn(&mut Strip<'_>),
}
