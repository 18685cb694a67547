//! Recordings against the CPU engine, kernels against their twins, whole gradients, and faults.

mod faults;
mod gradients;
mod half;
mod kernels;

use std::sync::Arc;

use super::{GpuDevice, block_on, clock};

/// Cosine and difference that gradients in half precision must reach.
const HALF_AGREEMENT: [f64; 2] = [0.999, 0.02];

/// A device of this machine. That there is none is a failure, not a reason to skip.
fn device() -> Arc<GpuDevice> {
    let opened = block_on(GpuDevice::open(clock));
    Arc::new(opened.expect("`cargo xtask setup --tests` installs a software GPU"))
}
