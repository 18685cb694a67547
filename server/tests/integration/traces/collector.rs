//! A collector: takes OTLP over HTTP and reads the spans in it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What of a span is looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Span {
    pub(super) trace: Vec<u8>,
    pub(super) id: Vec<u8>,
    pub(super) parent: Vec<u8>,
    pub(super) name: String,
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    /// Those that are texts.
    pub(super) attributes: BTreeMap<String, String>,
}

/// Listens on a free port of the loopback until it is dropped.
pub(super) struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&bodies);
        thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || {
                for socket in listener.incoming() {
                    // Whoever dropped the collector wakes this thread to end it.
                    let Some(bodies) = weak.upgrade() else { return };
                    while let Some(body) = take(socket.as_ref().unwrap()) {
                        bodies.lock().unwrap().push(body);
                    }
                }
            })
            .unwrap();
        Self { address, bodies }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that came, and all bytes.
    pub(super) fn spans(&self) -> (Vec<Span>, Vec<u8>) {
        let bodies = self.bodies.lock().unwrap();
        let spans = bodies.iter().flat_map(|body| {
            let scopes = fields(body, 1).into_iter().flat_map(|of| fields(of, 2));
            scopes.flat_map(|scope| fields(scope, 2)).map(span)
        });
        (spans.collect(), bodies.concat())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.bodies = Arc::default();
        drop(TcpStream::connect(self.address));
    }
}

/// The body of a request, which is answered; none at the end of the connection.
fn take(mut socket: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(socket);
    let (mut line, mut length) = (String::new(), 0);
    let first = reader.read_line(&mut line).ok().filter(|read| *read > 0);
    first?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim_end().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("content-type", kind)) => assert_eq!(kind, "application/x-protobuf"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(answer).unwrap();
    Some(body)
}

/// A value of a protobuf message.
enum Value<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// Fields of a protobuf message in order, each with its number.
fn message(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => Value::Number(u64::from_le_bytes(
                *bytes.split_off(..8).unwrap().as_array().unwrap(),
            )),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Value::Bytes(bytes.split_off(..length).unwrap())
            }
            5 => Value::Bytes(bytes.split_off(..4).unwrap()),
            other => panic!("no wire type {other}"),
        };
        all.push((key >> 3, value));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = *bytes.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// The messages and texts of one number.
fn fields(bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    let of_number = message(bytes)
        .into_iter()
        .filter(|(number, _)| *number == wanted);
    let values = of_number.filter_map(|(_, value)| match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Number(_) => None,
    });
    values.collect()
}

/// As in `opentelemetry/proto/trace/v1/trace.proto`.
fn span(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for field in message(bytes) {
        match field {
            (1, Value::Bytes(id)) => span.trace = id.to_vec(),
            (2, Value::Bytes(id)) => span.id = id.to_vec(),
            (4, Value::Bytes(id)) => span.parent = id.to_vec(),
            (5, Value::Bytes(name)) => span.name = text(name),
            (7, Value::Number(at)) => span.began_ns = at,
            (8, Value::Number(at)) => span.ended_ns = at,
            (9, Value::Bytes(attribute)) => {
                let value = fields(attribute, 2).concat();
                if let Some(value) = fields(&value, 1).first() {
                    let key = fields(attribute, 1).concat();
                    span.attributes.insert(text(&key), text(value));
                }
            }
            _ => {}
        }
    }
    span
}
