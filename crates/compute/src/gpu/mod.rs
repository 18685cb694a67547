//! Runs a training graph on a GPU, checked.
//!
//! [`GpuDevice::open`] finds an adapter, [`GpuEngine`] runs a graph on it. The graph is first written down as data, a
//! `recording`: dispatches of kernels over planned buffers. A `program` is a recording on a device, with its pipelines
//! and bindings made once. Each kernel is a WGSL file in `kernels/`, and has a twin of the same name in `twins`
//! that does the same on the CPU in plain loops.
//!
//! In [`Precision::Half`] products read their factors in half precision, and add up in single: a copy of the parameters
//! is made with each version, one of a buffer when the first product needs it, so that what only products need is kept
//! in half its size. No feature of the device is needed. The loss is multiplied with a scale before it is
//! differentiated, as small gradients would be zero in half precision.
//!
//! Results are not those of an arithmetic class: they differ from the CPU's in the last bits, and from GPU to
//! GPU. Runs that promise bits have no use for them.

mod adapter;
mod agreement;
mod choice;
mod device;
mod engine;
mod error;
#[cfg(test)]
mod faults;
mod kernels;
mod known_answer;
mod params;
mod program;
mod recording;
mod simulation;
#[cfg(test)]
mod tests;
mod tuning;
mod twins;

pub use adapter::AdapterSummary;
#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub use agreement::Agreement;
pub use choice::{Speeds, cpu_speed, gpu_speed, objection};
pub use device::GpuDevice;
#[cfg(not(target_arch = "wasm32"))]
pub use device::{block_on, clock};
pub use engine::GpuEngine;
pub use error::GpuError;
pub use known_answer::compare_with_twins;
pub use tabswarm_model::run_file::Precision;
pub use tuning::Clock;
