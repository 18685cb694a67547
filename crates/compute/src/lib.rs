//! Runs a training graph on a CPU: gradients, losses and predictions with defined bits.
//!
//! [`Engine`] walks a graph over buffers planned once and calls one kernel per operation. [`LeaseAccumulator`]
//! sums the gradients of a lease as integers. [`probe`] finds out which arithmetic classes this machine
//! computes, [`known_answer`] shows at start that it does so through the whole engine, and [`bits`] condenses
//! gradients to digests that can be compared across machines.
//!
//! Bits are part of the contract: within an arithmetic class every result is the same on every machine and
//! in every browser, because each sum has one order and nothing of the platform's mathematics is used.
//!
//! There is no I/O, no thread and no clock here; what a run is comes from `tabswarm-model`.

mod accumulator;
mod batch;
pub mod bits;
mod cpu;
mod engine;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod known_answer;
pub mod peak;
pub mod probe;
pub mod sums;
pub mod task;
mod workload;

pub use accumulator::{AccumulateError, LeaseAccumulator};
pub use batch::{Batch, BatchStats, Targets};
pub use cpu::gemm::Path;
pub use engine::{Engine, Observer, Stage};
pub use error::ComputeError;
pub use sums::{Sums, TaskTotals};
pub use tabswarm_model::ArithmeticClass;
pub use workload::Workload;
