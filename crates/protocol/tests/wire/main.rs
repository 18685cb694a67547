//! The wire as a peer sees it: frames, golden bytes, hostile bytes, memory.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "helpers of tests may panic, and cut numbers down to bytes on purpose"
)]

mod allocation;
mod common;
mod docs;
mod frames;
mod golden;
mod hostile;
