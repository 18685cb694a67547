//! The whole worker, as a library and as a command, against a server played by hand.
#![expect(clippy::unwrap_used, reason = "a test")]

#[cfg(unix)]
mod command;
mod fake_server;
mod lanes;
mod session;
mod troubles;
