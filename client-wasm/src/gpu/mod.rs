//! A lane that computes on the GPU of the browser, with the CPU behind it.
//!
//! Only in the module that has the feature `gpu`. Whatever the GPU does not do in time or does wrong, the CPU does
//! again, so that no task is lost.

mod checks;
mod export;
mod lane;
mod patience;

pub use checks::{gpu_agreement, gpu_bench, gpu_kernels};
pub use export::GpuLane;

use std::sync::Arc;

use tabswarm_compute::gpu::{GpuDevice, GpuError};

use crate::browser::{Clock, worker_scope};

/// The GPU that the browser offers.
async fn open() -> Result<Arc<GpuDevice>, GpuError> {
    let device = patience::within(patience::SETUP_S, GpuDevice::open(seconds)).await?;
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "engines take one, as natively they go from thread to thread"
    )]
    Ok(Arc::new(device))
}

/// Seconds on this worker's clock.
fn seconds() -> f64 {
    let clock = worker_scope().and_then(|scope| Clock::new(&scope));
    clock.map_or(0.0, |clock| clock.now_us() * 1e-6)
}
