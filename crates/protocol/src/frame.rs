//! Frames: how messages lie in the byte stream.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "TSWM"           ┐ these six bytes never change, so that peers of any
//!      4     2  protocol version       ┘ version can tell each other what they speak
//!      6     1  kind: 0 beginning, 1 continuation
//!      7     1  reserved, 0
//!      8     4  control length         (0 in a continuation)
//!     12     4  tensor length          of this frame
//!     16     4  message tensor length  of the whole message (0 in a continuation)
//!     20     4  CRC-32 of bytes 0..20 and the body
//!     24     …  control part, tensor part
//! ```
//! Integers are little-endian. A message is one beginning and as many continuations as its tensor needs;
//! messages are not interleaved.

use std::ops::{Range, RangeInclusive};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::FrameError;
use crate::limits::{MAX_CONTROL_BYTES, MAX_FRAME_BODY_BYTES, MAX_TENSOR_BYTES};
use crate::{OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 24;
const MAGIC: [u8; 4] = *b"TSWM";
const CHECKED_BYTES: usize = 20;
const VERSION_AT: Range<usize> = 4..6;
const KIND_BEGINNING: u8 = 0;
const KIND_CONTINUATION: u8 = 1;

/// A complete message, not yet interpreted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawMessage {
    /// The postcard bytes.
    pub control: Vec<u8>,
    /// The tensor bytes, empty for most messages.
    pub tensor: Vec<u8>,
}

impl RawMessage {
    /// Reads the control part; it must be used up.
    ///
    /// # Errors
    /// [`FrameError::Control`] where the bytes are not a `T`.
    pub fn control<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        let unreadable = |problem: String| FrameError::Control { problem };
        let (message, rest) = postcard::take_from_bytes(&self.control)
            .map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes too many", rest.len())));
        }
        Ok(message)
    }
}

/// Encodes a message as frames, each at most [`MAX_FRAME_BODY_BYTES`] plus its header.
///
/// # Panics
/// Where the control part is longer than [`MAX_CONTROL_BYTES`] or the tensor longer than
/// [`MAX_TENSOR_BYTES`]: both sides validate what they put in.
pub fn encode_frames<T: Serialize>(message: &T, tensor: &[u8]) -> Vec<Vec<u8>> {
    let control =
        postcard::to_allocvec(message).expect("messages hold nothing that postcard refuses");
    assert!(
        control.len() <= MAX_CONTROL_BYTES,
        "control part of {} bytes",
        control.len()
    );
    assert!(
        tensor.len() <= MAX_TENSOR_BYTES,
        "tensor part of {} bytes",
        tensor.len()
    );
    let room = MAX_FRAME_BODY_BYTES - control.len();
    let (head, mut rest) = tensor.split_at(tensor.len().min(room));
    let mut frames = vec![frame(KIND_BEGINNING, &control, head, tensor.len())];
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.len().min(MAX_FRAME_BODY_BYTES));
        frames.push(frame(KIND_CONTINUATION, &[], part, 0));
        rest = behind;
    }
    frames
}

fn frame(kind: u8, control: &[u8], tensor: &[u8], message_tensor_len: usize) -> Vec<u8> {
    let word = |n: usize| {
        u32::try_from(n)
            .expect("bounded by the limits")
            .to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + control.len() + tensor.len());
    bytes.extend(MAGIC);
    bytes.extend(PROTOCOL_VERSION.to_le_bytes());
    bytes.extend([kind, 0]);
    bytes.extend(word(control.len()));
    bytes.extend(word(tensor.len()));
    bytes.extend(word(message_tensor_len));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes);
    hasher.update(control);
    hasher.update(tensor);
    bytes.extend(hasher.finalize().to_le_bytes());
    bytes.extend(control);
    bytes.extend(tensor);
    bytes
}

/// A frame that [`encode_frames`] made, as a peer of another version expects it.
pub fn stamp(frame: &[u8], version: u16) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[VERSION_AT].copy_from_slice(&version.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CHECKED_BYTES]);
    hasher.update(&bytes[HEADER_BYTES..]);
    bytes[CHECKED_BYTES..HEADER_BYTES].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

/// Turns pushed bytes into messages.
///
/// ```text
///            push                 header complete            body complete
/// (waiting) ─────> [header: 24 B] ───────────────> [body] ──────────────────> message, or more frames
/// ```
/// It holds at most one message and one frame; memory grows with the bytes received, never with the lengths
/// announced. After an error it stays failed.
#[derive(Debug)]
pub struct Decoder {
    max_tensor_bytes: usize,
    /// Versions that a frame may have.
    versions: RangeInclusive<u16>,
    buffer: Vec<u8>,
    partial: Option<Partial>,
    failed: Option<FrameError>,
}

#[derive(Debug)]
struct Partial {
    message: RawMessage,
    tensor_len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    kind: u8,
    control_len: usize,
    tensor_len: usize,
    message_tensor_len: usize,
    checksum: u32,
}

impl Header {
    fn frame_len(self) -> usize {
        HEADER_BYTES + self.control_len + self.tensor_len
    }
}

impl Decoder {
    /// A decoder that refuses tensors of more than `max_tensor_bytes` (and of [`MAX_TENSOR_BYTES`] anyway).
    pub fn new(max_tensor_bytes: usize) -> Self {
        Self {
            max_tensor_bytes: max_tensor_bytes.min(MAX_TENSOR_BYTES),
            versions: PROTOCOL_VERSION..=PROTOCOL_VERSION,
            buffer: Vec::new(),
            partial: None,
            failed: None,
        }
    }

    /// One that takes the version before this one, too. The first frame decides: a stream has one version.
    pub fn for_server(max_tensor_bytes: usize) -> Self {
        Self {
            versions: OLDEST_PROTOCOL_VERSION..=PROTOCOL_VERSION,
            ..Self::new(max_tensor_bytes)
        }
    }

    /// The peer's version, once a frame has come; until then this side's.
    pub fn version(&self) -> u16 {
        *self.versions.end()
    }

    /// Changes the tensor limit, when a worker learns its run or a server a worker's run.
    pub fn set_max_tensor_bytes(&mut self, max_tensor_bytes: usize) {
        self.max_tensor_bytes = max_tensor_bytes.min(MAX_TENSOR_BYTES);
    }

    /// Takes bytes and appends the messages that they complete to `messages`.
    ///
    /// # Errors
    /// The first fault in the stream; messages before it have been appended.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        messages: &mut Vec<RawMessage>,
    ) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            match self.advance(&mut bytes, messages) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Handles one frame; false when more bytes are needed.
    fn advance(
        &mut self,
        bytes: &mut &[u8],
        messages: &mut Vec<RawMessage>,
    ) -> Result<bool, FrameError> {
        if self.buffer.is_empty() && self.whole_frame(bytes, messages)? {
            return Ok(true);
        }
        if !self.fill(bytes, HEADER_BYTES) {
            check_prefix(&self.buffer, &self.versions)?;
            return Ok(false);
        }
        let header = self.header(&self.buffer)?;
        if !self.fill(bytes, header.frame_len()) {
            return Ok(false);
        }
        let mut frame = std::mem::take(&mut self.buffer);
        self.body(header, &frame, messages)?;
        frame.clear();
        self.buffer = frame;
        Ok(true)
    }

    /// Handles a frame that lies in the pushed bytes as a whole, without a copy of it; false if none does.
    fn whole_frame(
        &mut self,
        bytes: &mut &[u8],
        messages: &mut Vec<RawMessage>,
    ) -> Result<bool, FrameError> {
        if bytes.len() < HEADER_BYTES {
            return Ok(false);
        }
        let header = self.header(bytes)?;
        let Some((frame, rest)) = bytes.split_at_checked(header.frame_len()) else {
            return Ok(false);
        };
        self.body(header, frame, messages)?;
        *bytes = rest;
        Ok(true)
    }

    /// Moves bytes into the buffer until it has `wanted`; false where there are not enough yet.
    fn fill(&mut self, bytes: &mut &[u8], wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.buffer.len());
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.buffer.extend_from_slice(taken);
        *bytes = rest;
        taken.len() == missing
    }

    /// Reads the header of a frame that begins with at least so many bytes.
    fn header(&self, bytes: &[u8]) -> Result<Header, FrameError> {
        check_prefix(bytes, &self.versions)?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Header {
            kind: bytes[6],
            control_len: word(8) as usize,
            tensor_len: word(12) as usize,
            message_tensor_len: word(16) as usize,
            checksum: word(20),
        };
        self.check_header(header, bytes[7])?;
        Ok(header)
    }

    fn check_header(&self, header: Header, reserved: u8) -> Result<(), FrameError> {
        if header.kind > KIND_CONTINUATION || reserved != 0 {
            return Err(FrameError::Kind {
                kind: header.kind,
                reserved,
            });
        }
        let within = |what, got, limit| {
            if got > limit {
                return Err(FrameError::TooLong { what, got, limit });
            }
            Ok(())
        };
        within("control part", header.control_len, MAX_CONTROL_BYTES)?;
        let body = header.control_len.saturating_add(header.tensor_len);
        within("frame body", body, MAX_FRAME_BODY_BYTES)?;
        within(
            "message tensor",
            header.message_tensor_len,
            self.max_tensor_bytes,
        )?;
        let sequence = |problem| Err(FrameError::Sequence { problem });
        match (&self.partial, header.kind) {
            (None, KIND_CONTINUATION) => sequence("a continuation without a beginning"),
            (Some(_), KIND_BEGINNING) => sequence("a beginning within a message"),
            (None, _) if header.tensor_len > header.message_tensor_len => {
                sequence("more tensor bytes than the message has")
            }
            (None, _) if header.control_len == 0 => sequence("a message without control part"),
            (None, _) => Ok(()),
            (Some(partial), _) => {
                let missing = partial.tensor_len - partial.message.tensor.len();
                if header.control_len != 0 || header.message_tensor_len != 0 {
                    return sequence("a continuation that begins something");
                }
                if header.tensor_len == 0 || header.tensor_len > missing {
                    return sequence("a continuation of the wrong length");
                }
                Ok(())
            }
        }
    }

    fn body(
        &mut self,
        header: Header,
        frame: &[u8],
        messages: &mut Vec<RawMessage>,
    ) -> Result<(), FrameError> {
        let (head, body) = frame.split_at(HEADER_BYTES);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head[..CHECKED_BYTES]);
        hasher.update(body);
        let got = hasher.finalize();
        if got != header.checksum {
            return Err(FrameError::Checksum {
                expected: header.checksum,
                got,
            });
        }
        let version = version_of(head);
        self.versions = version..=version;
        let (control, tensor) = body.split_at(header.control_len);
        let partial = self.partial.get_or_insert_with(|| Partial {
            message: RawMessage {
                control: control.to_vec(),
                tensor: Vec::new(),
            },
            tensor_len: header.message_tensor_len,
        });
        partial.message.tensor.extend_from_slice(tensor);
        if partial.message.tensor.len() == partial.tensor_len {
            messages.extend(self.partial.take().map(|partial| partial.message));
        }
        Ok(())
    }
}

/// Tells early that a stream is no Tabswarm stream or of another version, even if it never reaches the length
/// of this version's header.
fn check_prefix(bytes: &[u8], versions: &RangeInclusive<u16>) -> Result<(), FrameError> {
    match *bytes {
        [m0, m1, m2, m3, ..] if [m0, m1, m2, m3] != MAGIC => Err(FrameError::Magic {
            got: [m0, m1, m2, m3],
        }),
        [_, _, _, _, _, _, ..] if !versions.contains(&version_of(bytes)) => {
            Err(FrameError::Version {
                expected: *versions.end(),
                got: version_of(bytes),
            })
        }
        _ => Ok(()),
    }
}

fn version_of(header: &[u8]) -> u16 {
    u16::from_le_bytes([header[VERSION_AT.start], header[VERSION_AT.start + 1]])
}
