//! The real server on ports of the loopback that the system chooses, with small made-up data sets.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod cli;
mod durability;
mod http;
mod lifecycle;
mod sockets;
mod support;
