//! What a run *is*: its run file, the training graph that follows from it, where each parameter lives in
//! the flat vector, how parameters start, and how an optimizer step changes them.
//!
//! Everything here is a plain function of its arguments. There is no I/O, no clock, no thread and no global
//! random state, and every floating-point operation is written so that it gives the same bits on every
//! machine: no fused multiply-add, no platform `exp` or `pow`, sums in a fixed order.
//!
//! This crate does not run the graph (that is `tabswarm-compute`) and knows nothing of messages
//! (`tabswarm-protocol`).
#![forbid(unsafe_code)]

pub mod batches;
pub mod dataset;
pub mod digest;
pub mod fixed_point;
pub mod graph;
pub mod init;
pub mod inner;
pub mod inspect;
pub mod layout;
pub mod loss_scale;
pub mod master;
pub mod noise;
pub mod optim;
pub mod parts;
pub mod path_part;
pub mod random;
mod rounding;
pub mod rounds;
pub mod run_file;
pub mod samples;
pub mod schedule;

pub use graph::Graph;
pub use layout::Layout;
pub use run_file::{ArithmeticClass, Run};
