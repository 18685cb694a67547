//! The worker in a browser tab.
//!
//! The same module runs in three kinds of dedicated worker: as [`Driver`] (session, socket, data), as
//! [`Lane`] (one engine each) and as [`Predictor`] ("Try the model"). Nothing of it runs on the page's own
//! thread. The scripts in `www/src/worker` load it and pass messages on.
//!
//! `driver` and `lane` decide and compute without a browser and are tested natively; `browser` is glue.

#![cfg_attr(
    feature = "gpu",
    allow(
        dead_code,
        unused_imports,
        reason = "the module with the GPU has lanes only: pages load it beside one that has all the rest"
    )
)]

#[cfg(not(feature = "gpu"))]
mod bench;
#[cfg(not(feature = "gpu"))]
mod bits;
mod browser;
mod driver;
#[cfg(not(feature = "gpu"))]
mod driver_export;
#[cfg(test)]
mod fixture;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(not(feature = "gpu"))]
mod known_answer;
mod lane;
mod panic;
#[cfg(not(feature = "gpu"))]
mod predictor;
#[cfg(not(feature = "gpu"))]
mod trained;
#[cfg(not(feature = "gpu"))]
mod writer;

#[cfg(not(feature = "gpu"))]
pub use bench::{bench, peak};
#[cfg(not(feature = "gpu"))]
pub use bits::{random_graph_digest, run_digest};
#[cfg(not(feature = "gpu"))]
pub use driver_export::Driver;
#[cfg(feature = "gpu")]
pub use gpu::{GpuLane, gpu_agreement, gpu_bench, gpu_kernels};
#[cfg(not(feature = "gpu"))]
pub use known_answer::known_answer;
pub use lane::Lane;
pub use panic::on_panic;
#[cfg(not(feature = "gpu"))]
pub use predictor::Predictor;
#[cfg(not(feature = "gpu"))]
pub use trained::safetensors;
#[cfg(not(feature = "gpu"))]
pub use writer::Writer;
