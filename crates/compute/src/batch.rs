//! What goes into the engine and what comes out beside the gradient.

/// Samples and their labels, borrowed from the caller.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// (n, features), row-major.
    pub inputs: &'a [f32],
    /// (n): class indices.
    pub labels: &'a [u16],
}

/// Sums over the samples of a batch, in units whose sums do not depend on order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchStats {
    /// Number of samples.
    pub samples: u32,
    /// Sum of the losses, in units of 2^-20 nats.
    pub loss_q20: i64,
    /// Number of samples whose largest logit (the first, if several) is the label's.
    pub correct: u32,
}
