//! Why bytes are not a message.

use thiserror::Error;

/// A fault of framing or of a control part. The connection can't go on after it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first bytes are not `TSWM`.
    #[error("not a Tabswarm frame: it starts with {got:02x?}")]
    Magic {
        /// What came instead.
        got: [u8; 4],
    },
    /// The peer speaks another version.
    #[error("protocol version {got}, this side speaks {expected}")]
    Version {
        /// This side's version.
        expected: u16,
        /// The peer's version.
        got: u16,
    },
    /// An unknown frame kind or a reserved byte that is not zero.
    #[error("unknown frame kind {kind} (reserved byte {reserved})")]
    Kind {
        /// The kind byte.
        kind: u8,
        /// The reserved byte.
        reserved: u8,
    },
    /// A length beyond its limit.
    #[error("{what} of {got} bytes, at most {limit} are allowed")]
    TooLong {
        /// Which length.
        what: &'static str,
        /// As announced.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// Header and body do not have the announced checksum.
    #[error("checksum {got:08x} instead of {expected:08x}")]
    Checksum {
        /// From the header.
        expected: u32,
        /// Computed.
        got: u32,
    },
    /// A continuation without a beginning, or a beginning within a message.
    #[error("frame out of sequence: {problem}")]
    Sequence {
        /// What was wrong.
        problem: &'static str,
    },
    /// The control part is not a known message.
    #[error("unreadable control part: {problem}")]
    Control {
        /// What was wrong.
        problem: String,
    },
}

/// A tensor part that is not what its message says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// Too few or too many bytes.
    #[error("the tensor has {got} bytes, {expected} were expected")]
    Length {
        /// From the shape, or the position where more was needed.
        expected: usize,
        /// There are.
        got: usize,
    },
    /// A block announces an impossible or needlessly large bit width.
    #[error("block {block_idx} has bit width {got}, expected {expected}")]
    Width {
        /// Which block.
        block_idx: usize,
        /// The one that fits.
        expected: u8,
        /// As announced.
        got: u8,
    },
    /// Unused bits at the end of a block are set.
    #[error("block {block_idx} has bits set behind its last value")]
    Padding {
        /// Which block.
        block_idx: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {value_idx} is not finite")]
    NonFinite {
        /// Which value.
        value_idx: usize,
    },
}
