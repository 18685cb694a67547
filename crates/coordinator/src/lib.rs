//! The parameter server's decisions, as one pure state machine.
//!
//! [`Coordinator::handle`] takes the time and an [`Input`] and appends [`Effect`]s; [`Coordinator::next_deadline`]
//! says when to call again if nothing happens. There is no socket, file, thread, clock, lock or random number
//! in here, and no arithmetic on parameters: tensors pass through as shared pointers, from the input that
//! brought them to the effect that adds them up. So the server, the simulation and the unit tests run the
//! very same decisions.
//!
//! Worker misbehavior is a value ([`tabswarm_protocol::server::RejectReason`]), never an error or a panic.
#![forbid(unsafe_code)]

mod change;
mod coordinator;
mod effect;
mod event;
mod input;
mod invariants;
mod lease;
pub mod limits;
mod log_entry;
mod phase;
mod registry;
mod run;
mod run_state;
mod speed;
mod status;
mod step;
mod stream;
mod undurable;

#[cfg(test)]
#[expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them so"
)]
mod tests;

pub use change::SettingsError;
pub use coordinator::Coordinator;
pub use effect::{Effect, SnapshotCause};
pub use event::Event;
pub use input::{ConnectionId, Input, NewRun, Payload, ReceivedUpdate, StepOutcome};
pub use invariants::InvariantId;
pub use log_entry::{Change, LogEntry, ReplayError, Rollback, SettingsChange, StepChange};
pub use phase::{RunCommand, RunPhase};
pub use run::mean_loss;
pub use run_state::{RunState, Settings};
pub use status::{
    LeaseStatus, RoundPart, RoundStatus, RunStatus, Staleness, UnitState, WorkStatus, WorkerStatus,
};
