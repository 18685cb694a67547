//! A tap between workers and server: bytes pass as they are, and what the server says is read along the way.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{Decoder, ServerMessage};

use crate::ledger::Ledger;

const BUFFER_BYTES: usize = 64 << 10;
/// An answer's head that is longer is not our server's.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Parameters of the trained model take less.
const MAX_TENSOR_BYTES: usize = 16 << 20;

/// Where workers connect, whichever server runs.
#[derive(Debug)]
pub(crate) struct Tap {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
}

impl Tap {
    /// Accepts connections from now on.
    pub(crate) fn start(upstream: SocketAddr, ledger: Arc<Mutex<Ledger>>) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the tap")?;
        let address = listener.local_addr()?;
        let upstream = Arc::new(Mutex::new(upstream));
        let tap = Self {
            address,
            upstream: Arc::clone(&upstream),
        };
        let accept = move || {
            for worker in listener.incoming().flatten() {
                let to = *upstream.lock().unwrap_or_else(PoisonError::into_inner);
                // Without a server the worker finds its connection closed, as it would without a tap.
                if let Ok(server) = TcpStream::connect(to) {
                    join(worker, server, &ledger).ok();
                }
            }
        };
        thread::Builder::new()
            .name("tap".to_owned())
            .spawn(accept)?;
        Ok(tap)
    }

    /// New connections lead to another server.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn join(worker: TcpStream, server: TcpStream, ledger: &Arc<Mutex<Ledger>>) -> Result<()> {
    worker.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_worker, to_server) = (worker.try_clone()?, server.try_clone()?);
    let ledger = Arc::clone(ledger);
    let up = thread::Builder::new().name("tap-up".to_owned());
    up.spawn(move || copy(from_worker, to_server, |_| {}))?;
    let mut reader = Reader::new(ledger);
    let down = thread::Builder::new().name("tap-down".to_owned());
    down.spawn(move || copy(server, worker, |bytes| reader.take(bytes)))?;
    Ok(())
}

/// Copies until one side ends, and ends the other.
fn copy(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..len];
        // Before it is passed on: what the worker may have heard is in the ledger.
        see(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // A side that is gone already can't be closed again.
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
}

/// Reads the server's half of one connection.
struct Reader {
    ledger: Arc<Mutex<Ledger>>,
    state: State,
    bytes: Vec<u8>,
    decoder: Decoder,
    identity: Option<Digest>,
}

enum State {
    /// The answer to the request for a socket has not come yet.
    Head,
    /// WebSocket frames.
    Frames,
    /// Something else, such as a file.
    Ignored,
}

impl Reader {
    fn new(ledger: Arc<Mutex<Ledger>>) -> Self {
        Self {
            ledger,
            state: State::Head,
            bytes: Vec::new(),
            decoder: Decoder::new(MAX_TENSOR_BYTES),
            identity: None,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Ignored) {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        if matches!(self.state, State::Head) {
            self.read_head();
        }
        if matches!(self.state, State::Frames) {
            let mut at = 0;
            while let Some((payload, next)) = frame(&self.bytes, at) {
                let mut raw = Vec::new();
                let pushed = self.decoder.push(&self.bytes[payload], &mut raw);
                assert!(
                    pushed.is_ok(),
                    "the server sends frames that can't be decoded"
                );
                at = next;
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                for message in raw {
                    let control: ServerMessage = message.control().expect("a server's message");
                    ledger.heard(&mut self.identity, &control);
                }
            }
            self.bytes.drain(..at);
        }
    }

    fn read_head(&mut self) {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let is_socket = self.bytes.starts_with(b"HTTP/1.1 101");
            self.bytes.drain(..end + 4);
            self.state = if is_socket {
                State::Frames
            } else {
                State::Ignored
            };
        } else if self.bytes.len() > MAX_HEAD_BYTES {
            self.state = State::Ignored;
        }
    }
}

/// The payload of a data frame at `at` (empty for control frames), and where the next frame begins: RFC 6455,
/// section 5.2. Servers do not mask.
fn frame(bytes: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let head = bytes.get(at..at + 2)?;
    let is_data = head[0] & 0x0f <= 2;
    let (start, len) = match head[1] & 0x7f {
        126 => {
            let len = bytes.get(at + 2..at + 4)?;
            (at + 4, usize::from(u16::from_be_bytes([len[0], len[1]])))
        }
        127 => {
            let len = bytes.get(at + 2..at + 10)?.first_chunk()?;
            (at + 10, usize::try_from(u64::from_be_bytes(*len)).ok()?)
        }
        len => (at + 2, usize::from(len)),
    };
    let end = start.checked_add(len)?;
    let payload = if is_data { start..end } else { end..end };
    (end <= bytes.len()).then_some((payload, end))
}
