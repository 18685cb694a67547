//! The step log: every change of a run, in order, in a folder of segments.
//!
//! A segment is a file that is named after the sequence of its first record, `%016x.log`. It appears in the
//! folder whole or not at all, and **supersedes** whatever earlier segments hold at or behind its first
//! sequence. So nothing is ever cut off or overwritten in place: after a failure or a restart the log goes on
//! in a new segment, and what had been left half written before it does not count any more.
//!
//! Byte layouts are in `docs/store.md`.

mod control;
mod queue;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

pub use queue::LogQueue;
pub use writer::{Log, LogOptions};
