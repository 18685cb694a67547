//! What can go wrong, with what to look at.

use tabswarm_model::ArithmeticClass;
use thiserror::Error;

/// Why the engine could not be made or a batch could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ComputeError {
    /// No inner loop of this build and machine gives the class's bits.
    #[error(
        "this machine cannot compute in the {} arithmetic class; choose a run of another class",
        .class.as_str()
    )]
    ClassUnavailable {
        /// The class asked for.
        class: ArithmeticClass,
    },
    /// The graph has an operation, or a variant of one, that this engine has no kernel for.
    #[error("this engine cannot compute the operation {op}; use another backend or other layers")]
    Unsupported {
        /// Name of the operation.
        op: &'static str,
    },
    /// The engine was made for smaller batches.
    #[error("a batch of {samples} samples does not fit an engine made for {max_samples}")]
    TooManySamples {
        /// Samples of the batch.
        samples: usize,
        /// What the engine was made for.
        max_samples: usize,
    },
    /// A batch without samples has no gradient.
    #[error("the batch has no samples")]
    EmptyBatch,
    /// The inputs are not `samples × features` values.
    #[error("the batch has {got} input values, expected {samples} samples of {features}")]
    InputLength {
        /// Number of values given.
        got: usize,
        /// Samples of the batch.
        samples: usize,
        /// Values per sample.
        features: usize,
    },
    /// A label names no class.
    #[error("sample {sample} has label {label}, expected one below {classes}")]
    Label {
        /// Index in the batch.
        sample: usize,
        /// The label.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// The parameter vector has the wrong length.
    #[error("got {got} parameters, the model has {expected}")]
    ParamsLength {
        /// Number of values given.
        got: usize,
        /// Number of parameters of the model.
        expected: usize,
    },
    /// There is nothing to compute with yet.
    #[error("no parameters were set before the first batch")]
    ParamsMissing,
    /// A parameter or a gradient is infinite or not a number.
    #[error("tensor {tensor} holds an infinite value or not a number")]
    NonFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// The loss of a sample is infinite or not a number.
    #[error("the loss of sample {sample} is infinite or not a number")]
    NonFiniteLoss {
        /// Index in the batch.
        sample: usize,
    },
}
