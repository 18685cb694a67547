//! The wire between server and workers: messages, frames, limits and update codecs.
//!
//! A WebSocket carries binary messages; their bytes are a sequence of [`frame`]s. One or more frames make a
//! message: a control part (postcard) and an optional tensor part (raw little-endian numbers). The decoder is
//! push-based, bounds every length before it allocates, and never panics on any input.
//!
//! No I/O, no clock and no arithmetic on gradients happens here. `docs/protocol.md` describes all of it for
//! clients in other languages.
#![forbid(unsafe_code)]

pub mod client;
pub mod codec;
pub mod error;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod server;
pub mod time;

mod older;

pub use client::ClientMessage;
pub use error::{CodecError, FrameError};
pub use frame::{Decoder, RawMessage, encode_frames, stamp};
pub use ids::{LeaseId, ParamVersion, RunId, Token, WorkerId};
pub use server::ServerMessage;
pub use time::Timestamp;

/// Version of frames and messages.
pub const PROTOCOL_VERSION: u16 = 3;
/// The oldest version that a server still understands: the one before. So workers go on while a server is
/// upgraded, until their page is loaded again.
pub const OLDEST_PROTOCOL_VERSION: u16 = 2;
