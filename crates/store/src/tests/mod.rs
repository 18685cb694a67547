//! Whole lives of runs on a disk that fails, and what an old server left.

#![expect(
    clippy::print_stdout,
    reason = "the figures of an enumeration are what it is for"
)]

mod begun;
mod crashes;
mod failures;
mod flips;
pub(crate) mod life;
mod migration;
