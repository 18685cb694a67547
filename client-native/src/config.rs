//! What a worker is told before it starts.

use std::num::NonZero;
use std::thread::available_parallelism;

use tabswarm_protocol::Token;
use tabswarm_protocol::limits::MAX_LANES;

use crate::address::ServerAddress;

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Where to work.
    pub server: ServerAddress,
    /// The run to work for; any if none.
    pub run: Option<String>,
    /// Parallel compute contexts, at least one.
    pub lanes: u16,
    /// Share of time that lanes may compute, 1 to 100.
    pub duty_percent: u8,
    /// Whether to leave when the server says that the run is finished.
    pub exit_when_done: bool,
    /// For closed servers.
    pub join_token: Option<Token>,
}

impl WorkerConfig {
    /// All of this machine for any run, until told to stop.
    pub fn new(server: ServerAddress) -> Self {
        Self {
            server,
            run: None,
            lanes: default_lanes(),
            duty_percent: 100,
            exit_when_done: false,
            join_token: None,
        }
    }
}

/// One lane for each CPU that this process may use.
pub(crate) fn default_lanes() -> u16 {
    let cpus = available_parallelism().map_or(1, NonZero::get);
    u16::try_from(cpus).unwrap_or(MAX_LANES).min(MAX_LANES)
}
