//! The worker in a browser tab.
//!
//! The same module runs in three kinds of dedicated worker: as [`Driver`] (session, socket, data), as
//! [`Lane`] (one engine each) and as [`Predictor`] ("Try the model"). Nothing of it runs on the page's own
//! thread. The scripts in `www/src/worker` load it and pass messages on.
//!
//! `driver` and `lane` decide and compute without a browser and are tested natively; `browser` is glue.

mod bench;
mod bits;
mod browser;
mod driver;
mod driver_export;
#[cfg(test)]
mod fixture;
#[cfg(feature = "gpu")]
mod gpu;
mod known_answer;
mod lane;
mod panic;
mod predictor;
mod trained;
mod writer;

pub use bench::{bench, peak};
pub use bits::{random_graph_digest, run_digest};
pub use driver_export::Driver;
#[cfg(feature = "gpu")]
pub use gpu::{GpuLane, gpu_agreement, gpu_bench, gpu_kernels};
pub use known_answer::known_answer;
pub use lane::Lane;
pub use panic::on_panic;
pub use predictor::Predictor;
pub use trained::safetensors;
pub use writer::Writer;
