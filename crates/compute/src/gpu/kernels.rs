//! The kernels: their sources, what they bind, what they are told, and their twins on the CPU.

use super::params::{
    AccumulateParams, ActivateParams, AttentionParams, ConvParams, DropoutParams, EmbeddingParams,
    HalveParams, LayerNormParams, LenParams, LossParams, MatmulParams, PoolParams, PositionParams,
    SealParams, SumRowsParams, Words as _,
};
use super::twins;

/// How a kernel uses a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    Read,
    /// Reads or writes it.
    Write,
}

use Binding::{Read, Write};

/// What a kernel is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    /// As the file and the twin.
    pub(crate) name: &'static str,
    /// WGSL, to be joined.
    pub(crate) sources: &'static [&'static str],
    /// Its storage buffers; binding 0 is the parameters'.
    pub(crate) bindings: &'static [Binding],
}

impl Kernel {
    /// The whole module.
    pub(crate) fn wgsl(&self) -> String {
        self.sources.join("\n")
    }
}

/// Defines [`Call`] with one variant a kernel, in the order of the table.
macro_rules! kernels {
    ($($variant:ident($params:ty) $name:ident [$($shared:literal)*] [$($binding:ident)*],)*) => {
        /// A kernel with its parameters.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(crate) enum Call {
            $($variant($params),)*
        }

        /// All kernels.
        #[cfg(test)]
        pub(crate) const ALL: &[&Kernel] = &[$(&kernel_of::$name,)*];

        #[expect(non_upper_case_globals, reason = "named as the files")]
        mod kernel_of {
            use super::{Kernel, Read, Write};
            $(pub(super) const $name: Kernel = Kernel {
                name: stringify!($name),
                sources: &[
                    $(include_str!(concat!("kernels/shared/", $shared, ".wgsl")),)*
                    include_str!(concat!("kernels/", stringify!($name), ".wgsl")),
                ],
                bindings: &[$($binding,)*],
            };)*
        }

        impl Call {
            /// The kernel that is called.
            pub(crate) fn kernel(&self) -> &'static Kernel {
                match self {
                    $(Self::$variant(_) => &kernel_of::$name,)*
                }
            }

            /// The parameters as the kernel's uniform buffer has them.
            pub(crate) fn words(&self) -> Vec<u32> {
                match self {
                    $(Self::$variant(params) => params.words(),)*
                }
            }

            /// Does on the CPU what the kernel does, with one buffer for each of its bindings. Where a product's
            /// tiles are divided among several calls, the first one does all of it.
            pub(crate) fn run_twin(&self, buffers: &mut [Vec<f32>]) {
                if !self.is_first_part() {
                    return;
                }
                match self {
                    $(Self::$variant(params) => twins::$name(params, buffers),)*
                }
            }
        }
    };
}

impl Call {
    fn is_first_part(&self) -> bool {
        match self {
            Self::Matmul(params) | Self::MatmulBlocks(params) => params.first_tile == 0,
            Self::Conv2d(params)
            | Self::Conv2dBlocks(params)
            | Self::Conv2dBackwardWeight(params)
            | Self::Conv2dBackwardWeightBlocks(params)
            | Self::Conv2dBackwardInput(params)
            | Self::Conv2dBackwardInputBlocks(params) => params.first_tile == 0,
            _ => true,
        }
    }

    /// The same by the kernel that has blocks in registers.
    pub(crate) fn in_blocks(self) -> Self {
        match self {
            Self::Matmul(params) => Self::MatmulBlocks(params),
            Self::Conv2d(params) => Self::Conv2dBlocks(params),
            Self::Conv2dBackwardWeight(params) => Self::Conv2dBackwardWeightBlocks(params),
            Self::Conv2dBackwardInput(params) => Self::Conv2dBackwardInputBlocks(params),
            other => other,
        }
    }
}

kernels! {
    Matmul(MatmulParams) matmul ["half" "factors" "tile" "math" "matmul_params" "matmul_put"]
         [Read Read Read Write Write],
    Conv2d(ConvParams) conv2d ["half" "factors" "tile" "math" "conv_params" "conv_forward" "patches"]
        [Read Read Read Write Write],
    Conv2dBackwardWeight(ConvParams) conv2d_backward_weight ["half" "factors" "tile" "conv_params" "patches"]
         [Read Read Write],
    Conv2dBackwardInput(ConvParams) conv2d_backward_input ["half" "factors" "tile" "conv_params"]
         [Read Read Write],
    MatmulBlocks(MatmulParams) matmul_blocks ["half" "factors" "block" "math" "matmul_params" "matmul_put"]
         [Read Read Read Write Write],
    Conv2dBlocks(ConvParams) conv2d_blocks ["half" "factors" "block" "math" "conv_params" "conv_forward"]
        [Read Read Read Write Write],
    Conv2dBackwardWeightBlocks(ConvParams) conv2d_backward_weight_blocks ["half" "factors" "block" "conv_params"]
         [Read Read Write],
    Conv2dBackwardInputBlocks(ConvParams) conv2d_backward_input_blocks ["half" "factors" "block" "conv_params"]
         [Read Read Write],
    SumRows(SumRowsParams) sum_rows ["sum_rows_params"] [Read Write],
    SumFewRows(SumRowsParams) sum_few_rows ["lanes" "sum_rows_params"] [Read Write],
    MaxPool(PoolParams) max_pool ["lanes" "pool_params"] [Read Write Write],
    MaxPoolBackward(PoolParams) max_pool_backward ["lanes" "pool_params"] [Read Read Write],
    AvgPool(PoolParams) avg_pool ["lanes" "pool_params"] [Read Write],
    AvgPoolBackward(PoolParams) avg_pool_backward ["lanes" "pool_params"] [Read Write],
    Activate(ActivateParams) activate ["lanes" "math"] [Read Write Write],
    ActivationBackward(ActivateParams) activation_backward ["half" "lanes" "math"] [Read Write],
    Dropout(DropoutParams) dropout ["lanes"] [Read Read Write],
    Embedding(EmbeddingParams) embedding ["lanes"] [Read Read Write],
    EmbeddingBackward(EmbeddingParams) embedding_backward ["lanes"] [Read Read Write],
    AddPosition(PositionParams) add_position ["lanes"] [Read Read Write],
    LayerNorm(LayerNormParams) layer_norm ["reduce"] [Read Read Write Write],
    LayerNormBackward(LayerNormParams) layer_norm_backward ["reduce"] [Read Read Read Read Write],
    LayerNormBackwardParams(LayerNormParams) layer_norm_backward_params [] [Read Read Read Write],
    AttentionSoftmax(AttentionParams) attention_softmax ["reduce" "math"] [Write],
    AttentionSoftmaxBackward(AttentionParams) attention_softmax_backward ["reduce"] [Read Write],
    Add(LenParams) add ["lanes"] [Read Read Write],
    Copy(LenParams) copy ["lanes"] [Read Write],
    Halve(HalveParams) halve ["counts" "lanes"] [Read Read Write Write],
    SoftmaxCrossEntropy(LossParams) softmax_cross_entropy ["reduce" "first_maximum" "math" "loss_params"]
        [Read Read Write Write Read],
    SoftTargets(LossParams) soft_targets ["reduce" "first_maximum" "math" "loss_params"]
        [Read Read Write Write Read],
    MeanSquaredError(LossParams) mean_squared_error ["reduce" "first_maximum" "loss_params"]
        [Read Read Write Write Read],
    Accumulate(AccumulateParams) accumulate ["counts" "lanes"] [Read Write Write Write],
    Seal(SealParams) seal ["lanes"] [Read Read Write],
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    use naga::{AddressSpace, StorageAccess};

    fn module(kernel: &Kernel) -> naga::Module {
        naga::front::wgsl::parse_str(&kernel.wgsl())
            .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&kernel.wgsl())))
    }

    #[test]
    fn every_kernel_is_valid_without_any_feature() {
        for kernel in ALL {
            // Packing halves is a capability to naga, as OpenGL may lack it. WebGPU and Vulkan have it.
            let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
            let mut validator = Validator::new(ValidationFlags::all(), capabilities);
            let module = module(kernel);
            if let Err(error) = validator.validate(&module) {
                panic!("{}: {error:?}", kernel.name);
            }
        }
    }

    /// What the table says of the bindings is what the source says, and within the default limits of `WebGPU`.
    #[test]
    fn the_table_agrees_with_the_sources() {
        for kernel in ALL {
            let module = module(kernel);
            let mut found = vec![None; kernel.bindings.len()];
            let (mut uniforms, mut workgroup_bytes) = (0, 0);
            for (_, variable) in module.global_variables.iter() {
                match variable.space {
                    AddressSpace::Storage { access } => {
                        let binding = variable.binding.as_ref().unwrap().binding as usize;
                        let writes = access.contains(StorageAccess::STORE);
                        found[binding - 1] = Some(if writes { Write } else { Read });
                    }
                    AddressSpace::Uniform => uniforms += 1,
                    AddressSpace::WorkGroup => {
                        workgroup_bytes += module.types[variable.ty].inner.size(module.to_ctx());
                    }
                    _ => {}
                }
            }
            let expected: Vec<_> = kernel.bindings.iter().copied().map(Some).collect();
            assert_eq!(found, expected, "{}", kernel.name);
            assert_eq!(uniforms, 1, "{}", kernel.name);
            assert!(kernel.bindings.len() <= 8, "{}", kernel.name);
            assert!(workgroup_bytes <= 16 << 10, "{}", kernel.name);
        }
    }
}
