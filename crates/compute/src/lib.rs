//! Runs a training graph on a CPU: gradients, losses and predictions with defined bits.
//!
//! [`Engine`] walks a graph over buffers planned once and calls one kernel per operation. [`LeaseAccumulator`]
//! sums the gradients of a lease as integers. [`probe`] finds out which arithmetic classes this machine
//! computes, [`known_answer`] condenses whole gradients to a digest.
//!
//! Bits are part of the contract: within an arithmetic class every result is the same on every machine and
//! in every browser, because each sum has one order and nothing of the platform's mathematics is used.
//!
//! There is no I/O, no thread and no clock here; what a run is comes from `tabswarm-model`.

mod accumulator;
mod batch;
mod cpu;
mod engine;
mod error;
pub mod known_answer;
pub mod peak;
pub mod probe;
mod workload;

pub use accumulator::{AccumulateError, LeaseAccumulator};
pub use batch::{Batch, BatchStats, Targets};
pub use cpu::gemm::Path;
pub use engine::{Engine, Observer, Stage};
pub use error::ComputeError;
pub use tabswarm_model::ArithmeticClass;
pub use workload::Workload;
