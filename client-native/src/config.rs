//! What a worker is told before it starts.

use std::num::NonZero;
use std::thread::available_parallelism;

use tabswarm_protocol::Token;
use tabswarm_protocol::limits::MAX_LANES;

use crate::address::ServerAddress;
use crate::gpu::BackendWish;

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
    /// Memory that runs may count on, in MiB; 0 where that is not known.
    pub memory_mib: u32,
    /// What to compute with.
    pub backend: BackendWish,
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
            memory_mib: memory_mib(),
            backend: BackendWish::default(),
        }
    }
}

/// Memory of this machine in MiB; 0 where the system does not say.
pub(crate) fn memory_mib() -> u32 {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else {
        return 0;
    };
    parse_total(&text).map_or(0, |kib| u32::try_from(kib / 1024).unwrap_or(u32::MAX))
}

/// `MemTotal`, in KiB.
fn parse_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// One lane for each CPU that this process may use.
pub(crate) fn default_lanes() -> u16 {
    let cpus = available_parallelism().map_or(1, NonZero::get);
    u16::try_from(cpus).unwrap_or(MAX_LANES).min(MAX_LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_where_it_is_told() {
        let text = "MemTotal:       24576000 kB\nMemFree:  1 kB\n";
        assert_eq!(parse_total(text), Some(24_576_000));
        assert_eq!(parse_total("MemFree: 1 kB\n"), None);
        assert_eq!(parse_total("MemTotal: lots\n"), None);
    }
}
