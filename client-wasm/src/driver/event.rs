//! Everything that can wake the driver.

use super::command::Command;
use super::fetches::Job;
use super::host::LaneId;
use crate::lane::Report;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The page said something.
    Command(Command),
    /// The socket of a connection is open.
    SocketOpened {
        /// Which connection.
        connection: u32,
    },
    /// Bytes came.
    SocketBytes {
        /// On which connection.
        connection: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The socket is closed, or could not be opened.
    SocketClosed {
        /// Of which connection.
        connection: u32,
        /// What the server gave as reason; mostly nothing.
        reason: String,
    },
    /// A lane answered.
    Lane {
        /// Which.
        lane: LaneId,
        /// What it said.
        report: Report,
    },
    /// A request ended.
    Fetched {
        /// Which.
        job: Job,
        /// What came, or a sentence.
        outcome: Result<Fetched, String>,
    },
    /// The timer rang.
    Timer,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The content.
    pub(crate) bytes: Vec<u8>,
    /// What of it came over the network; nothing for an answer from the cache.
    pub(crate) network_bytes: u64,
}
