//! The real server on ports of the loopback that the system chooses, with small made-up data sets.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod bucket;
mod cli;
mod data;
mod durability;
mod export;
mod fuzz;
mod http;
mod ledger;
mod lifecycle;
mod matrix;
mod nothing_behind;
mod operations;
mod operators;
mod page;
mod settings;
mod sockets;
mod support;
mod tensorboard;
mod tls;
mod tokens;
mod traces;
