//! What a run keeps on stable storage: a log of its changes, snapshots, and how both become the run again.
//!
//! Whatever fails, recovery finds the state after some change at or behind the last one that was acknowledged,
//! whole and with the same bits, or it refuses and says what to do. Formats and rules are in `docs/store.md`.
//!
//! Everything goes through [`Disk`], so that tests can enumerate what a disk may do.
#![forbid(unsafe_code)]

mod disk;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
pub mod limits;
mod log;
mod sealed;

pub use disk::{Disk, DiskFile, RealDisk, UNFINISHED, replace};
pub use error::{FORMAT, StoreError};
pub use log::{Log, LogOptions};
