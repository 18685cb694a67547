//! What a run keeps on stable storage: a log of its changes, snapshots, and how both become the run again.
//!
//! Whatever fails, recovery finds the state after some change at or behind the last one that was acknowledged,
//! whole and with the same bits, or it refuses and says what to do. Formats and rules are in `docs/store.md`.
//!
//! Everything goes through [`Disk`], so that tests can enumerate what a disk may do.
#![forbid(unsafe_code)]

mod disk;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod hosting;
pub mod limits;
mod log;
mod maintain;
mod migrate;
mod objects;
mod recover;
mod run_store;
mod sealed;
mod snapshot;

#[cfg(test)]
mod tests;

pub use disk::{Disk, DiskFile, RealDisk, UNFINISHED, replace};
pub use error::{ChangeError, FORMAT, StoreError};
pub use hosting::Hosting;
pub use log::{Log, LogOptions, LogQueue};
pub use maintain::{
    LostStep, RepairReport, VerifyReport, change, compact, create_with_params, fork, repair,
    rollback, verify,
};
pub use objects::{DiskObjects, Objects};
pub use recover::{Alarm, RecoveryReport, ReplayedStep};
pub use run_store::{Recovered, RunStore};
pub use snapshot::{Snapshot, SnapshotId, SnapshotInfo, Snapshots};
