//! A worker that keeps to the handshake and then sends whatever may hurt.
//!
//! It never sends a well-formed wrong gradient for its own lease: catching that is the audits' task, not the
//! coordinator's.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{Class, Hello, MicroBatchRange, ReleaseReason, Update, WorkerKind};
use tabswarm_protocol::server::Lease;
use tabswarm_protocol::{ClientMessage, Decoder, LeaseId, ServerMessage, codec, encode_frames};

use super::chance::Chance;

/// The attacker's side of a connection.
#[derive(Debug)]
pub(super) struct Hostile {
    decoder: Decoder,
    /// Frames sent before, to be replayed.
    sent: Vec<Vec<u8>>,
    parameters: usize,
}

impl Hostile {
    pub(super) fn new(parameters: usize) -> Self {
        Self {
            decoder: Decoder::new(1 << 20),
            sent: Vec::new(),
            parameters,
        }
    }

    /// Begins a connection.
    pub(super) fn connected(&mut self) -> Vec<u8> {
        self.decoder = Decoder::new(1 << 20);
        hello()
    }

    /// Answers bytes with bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], chance: &mut Chance) -> Vec<Vec<u8>> {
        let mut raw = Vec::new();
        if self.decoder.push(bytes, &mut raw).is_err() {
            return Vec::new();
        }
        let messages = raw.iter().filter_map(|message| message.control().ok());
        let messages: Vec<ServerMessage> = messages.collect();
        let answers: Vec<Vec<u8>> = messages
            .into_iter()
            .filter_map(|message| self.answer(message, chance))
            .collect();
        self.sent.extend(answers.iter().take(2).cloned());
        self.sent.truncate(50);
        answers
    }

    fn answer(&mut self, message: ServerMessage, chance: &mut Chance) -> Option<Vec<u8>> {
        match message {
            ServerMessage::Run(assignment) => Some(plain(&ClientMessage::Ready {
                run_id: assignment.run_id,
            })),
            ServerMessage::Ping { nonce } if !chance.one_in(4) => {
                Some(plain(&ClientMessage::Pong { nonce }))
            }
            ServerMessage::Lease(lease) => self.abuse(&lease, chance),
            _ => None,
        }
    }

    fn abuse(&mut self, lease: &Lease, chance: &mut Chance) -> Option<Vec<u8>> {
        let lease_id = lease.lease_id;
        let zeros = codec::exact::encode(&vec![0; self.parameters]);
        let honest = header(lease, &zeros);
        let bytes = match chance.below(14) {
            0 => {
                let noise: [u8; 64] = chance.bytes();
                update(header(lease, &noise), &noise)
            }
            1 => update(
                Update {
                    digest: [7; 32],
                    ..honest
                },
                &zeros,
            ),
            2 => update(
                Update {
                    samples: honest.samples + 1,
                    ..honest
                },
                &zeros,
            ),
            3 => update(
                Update {
                    // Another's lease, or a lapsed one of its own: for that the count must be wrong.
                    lease_id: LeaseId(lease_id.0 - 1),
                    samples: honest.samples + 1,
                    ..honest
                },
                &zeros,
            ),
            4 => update(
                Update {
                    lease_id: LeaseId(u64::MAX),
                    ..honest
                },
                &zeros,
            ),
            5 => {
                let fits = vec![0; chance.below(3)];
                plain(&ClientMessage::Overflow { lease_id, fits })
            }
            6 => {
                let fits = vec![i8::MIN; lease.exponents.len()];
                plain(&ClientMessage::Overflow { lease_id, fits })
            }
            7 => {
                let reason = [ReleaseReason::Paused, ReleaseReason::Diverged][chance.below(2)];
                plain(&ClientMessage::Release { lease_id, reason })
            }
            8 => chance.bytes::<40>().to_vec(),
            9 => update(
                Update {
                    done: bad_ranges(lease.range, chance),
                    ..honest
                },
                &zeros,
            ),
            10 => {
                let huge = codec::exact::encode(&vec![i32::MAX; self.parameters]);
                update(header(lease, &huge), &huge)
            }
            11 => hello(),
            12 => self.sent.get(chance.below(self.sent.len()))?.clone(),
            _ => return None,
        };
        Some(bytes)
    }
}

fn hello() -> Vec<u8> {
    plain(&ClientMessage::Hello(Hello {
        kind: WorkerKind::Browser,
        software: "hostile".into(),
        run: None,
        resume: None,
        join_token: None,
        lanes: 1,
        classes: vec![Class::Portable],
        memory_mib: 0,
        gpu: false,
    }))
}

fn header(lease: &Lease, tensor: &[u8]) -> Update {
    Update {
        lease_id: lease.lease_id,
        done: vec![lease.range],
        // Right but for a lease at an epoch's end: what must be refused is refused for another reason.
        samples: lease.range.count * 4,
        loss_q20: 1,
        correct: 0,
        compute_us: 1,
        digest: Digest::of(tensor).0,
    }
}

fn bad_ranges(range: MicroBatchRange, chance: &mut Chance) -> Vec<MicroBatchRange> {
    let at = |first, count| MicroBatchRange { first, count };
    match chance.below(5) {
        0 => vec![],
        1 => vec![at(range.first, 0)],
        2 => vec![at(range.first, range.count + 1)],
        3 => vec![range, range],
        _ => vec![at(u32::MAX, u32::MAX)],
    }
}

fn plain(message: &ClientMessage) -> Vec<u8> {
    encode_frames(message, &[]).concat()
}

fn update(header: Update, tensor: &[u8]) -> Vec<u8> {
    encode_frames(&ClientMessage::Update(header), tensor).concat()
}
