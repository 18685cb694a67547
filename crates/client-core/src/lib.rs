//! A worker's session, as one pure state machine: the same in a tab, in a headless process and in the
//! simulation.
//!
//! [`Session::handle`] takes the time and an [`Input`] and appends [`Effect`]s; [`Session::next_deadline`] says
//! when to call again if nothing happens. The driver around it owns the socket, the data, the lanes and the
//! tensors: it keeps parameters by version and sums by lease, and does what the effects say.
#![forbid(unsafe_code)]

mod backoff;
mod effect;
mod input;
pub mod limits;
mod pace;
mod session;
mod stats;
mod status;
mod work;

#[cfg(test)]
#[expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them so"
)]
mod tests;

pub use effect::{Effect, Task};
pub use input::{Config, Input, TaskFault, TaskResult};
pub use session::Session;
pub use stats::Stats;
pub use status::{State, Status, StopCode};
