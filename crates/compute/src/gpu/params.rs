//! What kernels are told: uniform buffers of 32-bit words, in the order of the kernels' `Params`.

/// A value of one word.
pub(crate) trait Word: Copy {
    /// Its bits.
    fn bits(self) -> u32;
}

impl Word for u32 {
    fn bits(self) -> u32 {
        self
    }
}

impl Word for f32 {
    fn bits(self) -> u32 {
        self.to_bits()
    }
}

/// A uniform buffer's content.
pub(crate) trait Words {
    /// All fields in order.
    fn words(&self) -> Vec<u32>;
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Default)]
            pub(crate) struct $name {
                $(pub(crate) $field: $type,)*
            }

            impl Words for $name {
                fn words(&self) -> Vec<u32> {
                    vec![$(self.$field.bits(),)*]
                }
            }
        )*
    };
}

params! {
    /// Of `matmul`: sizes, and where the values of the factors and of the product are.
    MatmulParams {
        rows: u32,
        columns: u32,
        depth: u32,
        left_start: u32,
        left_row: u32,
        left_depth: u32,
        right_start: u32,
        right_depth: u32,
        right_column: u32,
        target_start: u32,
        target_row: u32,
        bias_start: u32,
        batches: u32,
        heads: u32,
        left_sample: u32,
        left_head: u32,
        right_sample: u32,
        right_head: u32,
        target_sample: u32,
        target_head: u32,
        tiles_across: u32,
        first_tile: u32,
        scale: f32,
        activation: u32,
        has_bias: u32,
        has_slope: u32,
        adds: u32,
    }

    /// Of the convolutions: sizes of the product, and the geometry.
    ConvParams {
        rows: u32,
        columns: u32,
        depth: u32,
        height: u32,
        width: u32,
        channels: u32,
        output_height: u32,
        output_width: u32,
        output_channels: u32,
        window_height: u32,
        window_width: u32,
        stride_down: u32,
        stride_right: u32,
        padding_above: u32,
        padding_left: u32,
        group_inputs: u32,
        group_outputs: u32,
        weight_start: u32,
        bias_start: u32,
        tiles_across: u32,
        first_tile: u32,
        activation: u32,
        has_bias: u32,
        has_slope: u32,
        part_depth: u32,
        part_stride: u32,
        parts: u32,
    }

    /// Of `sum_rows`.
    SumRowsParams {
        rows: u32,
        columns: u32,
        sums_start: u32,
        adds: u32,
    }

    /// Of the poolings.
    PoolParams {
        len: u32,
        height: u32,
        width: u32,
        channels: u32,
        output_height: u32,
        output_width: u32,
        window_height: u32,
        window_width: u32,
        stride_down: u32,
        stride_right: u32,
        factor: f32,
        has_choice: u32,
    }

    /// Of `activate` and `activation_backward`.
    ActivateParams {
        len: u32,
        activation: u32,
        has_slope: u32,
    }

    /// Of `dropout`; the keys are words `2 · site` and the next.
    DropoutParams {
        len: u32,
        site: u32,
        threshold: u32,
        scale: f32,
    }

    /// Of the embedding and its gradient, which calls its fourth word `rows`, the embedding `vocabulary`.
    EmbeddingParams {
        len: u32,
        width: u32,
        table_start: u32,
        rows_or_vocabulary: u32,
        adds: u32,
    }

    /// Of `add_position`.
    PositionParams {
        len: u32,
        period: u32,
        table_start: u32,
    }

    /// Of the layer norms.
    LayerNormParams {
        rows: u32,
        width: u32,
        gain_start: u32,
        bias_start: u32,
        epsilon: f32,
    }

    /// Of the softmax of attention.
    AttentionParams {
        rows: u32,
        positions: u32,
        causal: u32,
    }

    /// Of kernels that only need to know how many values there are.
    LenParams {
        len: u32,
    }

    /// Of `halve`.
    HalveParams {
        len: u32,
        count: u32,
    }

    /// Of the losses.
    LossParams {
        rows: u32,
        width: u32,
        per_row: f32,
        temperature: f32,
        slope: f32,
        has_classes: u32,
    }

    /// Of `accumulate`.
    AccumulateParams {
        len: u32,
    }

    /// Of `seal`.
    SealParams {
        len: u32,
        first: u32,
    }
}
