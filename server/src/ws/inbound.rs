//! From a worker's bytes to what the coordinator's thread is told. Everything that costs time is done here,
//! on the socket's task.

use tabswarm_coordinator::{ConnectionId, Payload, ReceivedUpdate};
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::{MAX_LEASE_MICRO_BATCHES, MICRO_BATCH_LIMIT};
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::client::Update;
use tabswarm_protocol::codec::{exact, f32 as plain};
use tabswarm_protocol::error::{CodecError, FrameError};
use tabswarm_protocol::server::{RefusalCode, RejectReason};
use tabswarm_protocol::{ClientMessage, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, RawMessage};
use tracing::debug_span;

use crate::actor::{EdgeRun, Message};
use crate::limits::INLINE_DECODE_BYTES;
use crate::traces::TARGET;

/// The worker can't go on: for the last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For programs.
    pub(super) code: RefusalCode,
    /// For people.
    pub(super) message: String,
}

impl Refusal {
    /// A fault of the worker's program.
    pub(super) fn protocol_error(problem: impl std::fmt::Display) -> Self {
        let message = format!(
            "The worker sent something that the server can't read ({problem}). Reload the page or update the worker."
        );
        Self {
            code: RefusalCode::ProtocolError,
            message,
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Version { got, .. } => Self {
                code: RefusalCode::VersionMismatch,
                message: format!(
                    "This server speaks protocol versions {OLDEST_PROTOCOL_VERSION} and {PROTOCOL_VERSION}, \
                     the worker {got}. Reload the page, \
                     or use the tabswarm-worker that came with the server."
                ),
            },
            other => Self::protocol_error(other),
        }
    }
}

/// What the coordinator's thread is told of a message.
pub(super) async fn interpret(
    connection: ConnectionId,
    raw: RawMessage,
    version: u16,
    edge: Option<EdgeRun>,
) -> Result<Message, Refusal> {
    let message = ClientMessage::read(&raw, version)?;
    match message {
        ClientMessage::Update(header) => {
            let span = debug_span!(
                target: TARGET,
                "update",
                lease_id = %header.lease_id,
                samples = header.samples,
                bytes = raw.tensor.len(),
            );
            let decoding = debug_span!(target: TARGET, parent: &span, "decode");
            let payload = match edge {
                None => Err(RejectReason::UnknownLease),
                Some(edge) if raw.tensor.len() <= INLINE_DECODE_BYTES => {
                    decoding.in_scope(|| decode(edge, &header, &raw.tensor))
                }
                Some(edge) => {
                    let of_thread = header.clone();
                    let decode = move || decode(edge, &of_thread, &raw.tensor);
                    let decoded = tokio::task::spawn_blocking(move || decoding.in_scope(decode));
                    // Decoding does not panic; if it did, the worker would not be to blame.
                    decoded.await.unwrap_or(Err(RejectReason::Malformed))
                }
            };
            Ok(Message::Update {
                connection,
                update: ReceivedUpdate { header, payload },
                span,
            })
        }
        _ if !raw.tensor.is_empty() => Err(Refusal::protocol_error("a tensor where none belongs")),
        message => Ok(Message::Worker {
            connection,
            message,
        }),
    }
}

/// Checks an update in the order digest, encoding, range.
fn decode(edge: EdgeRun, header: &Update, tensor: &[u8]) -> Result<Payload, RejectReason> {
    if Digest::of(tensor) != Digest(header.digest) {
        return Err(RejectReason::WrongDigest);
    }
    match edge.codec {
        Codec::F32 => {
            let values = plain::decode(tensor, edge.parameters).map_err(|error| match error {
                CodecError::NonFinite { .. } => RejectReason::OutOfRange,
                _ => RejectReason::Malformed,
            })?;
            Ok(Payload::F32(values))
        }
        Codec::Exact => {
            let values = exact::decode(tensor, edge.parameters)
                .map_err(|_not_exact| RejectReason::Malformed)?;
            let counts = header.done.iter().map(|range| u64::from(range.count));
            let micro_batches = counts.sum::<u64>().min(u64::from(MAX_LEASE_MICRO_BATCHES));
            let bound = micro_batches * u64::from(MICRO_BATCH_LIMIT.unsigned_abs());
            // The maximum rather than a search: the compiler vectorizes it.
            let largest = values.iter().map(|value| value.unsigned_abs()).max();
            if largest.is_some_and(|largest| u64::from(largest) > bound) {
                return Err(RejectReason::OutOfRange);
            }
            Ok(Payload::Exact(values))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_protocol::LeaseId;
    use tabswarm_protocol::client::MicroBatchRange;

    fn header(tensor: &[u8], micro_batches: u32) -> Update {
        Update {
            lease_id: LeaseId(1),
            done: vec![MicroBatchRange {
                first: 0,
                count: micro_batches,
            }],
            samples: 32,
            loss_q20: 1,
            correct: 1,
            compute_us: 1,
            digest: Digest::of(tensor).0,
        }
    }

    fn check(codec: Codec, tensor: &[u8], micro_batches: u32) -> Result<Payload, RejectReason> {
        decode(
            EdgeRun {
                codec,
                parameters: 3,
            },
            &header(tensor, micro_batches),
            tensor,
        )
    }

    #[test]
    fn exact_sums_have_a_bound() {
        let limit = MICRO_BATCH_LIMIT;
        let tensor = exact::encode(&[2 * limit, 0, -2 * limit]);
        assert_eq!(
            check(Codec::Exact, &tensor, 2),
            Ok(Payload::Exact(vec![2 * limit, 0, -2 * limit]))
        );
        assert_eq!(
            check(Codec::Exact, &tensor, 1),
            Err(RejectReason::OutOfRange)
        );
        let extreme = exact::encode(&[i32::MIN, 0, 0]);
        assert_eq!(
            check(Codec::Exact, &extreme, u32::MAX),
            Err(RejectReason::OutOfRange)
        );
    }

    #[test]
    fn damaged_tensors_are_rejected_with_a_reason() {
        let tensor = exact::encode(&[1, 2, 3]);
        let edge = EdgeRun {
            codec: Codec::Exact,
            parameters: 3,
        };
        let other = header(b"something else", 1);
        assert_eq!(
            decode(edge, &other, &tensor),
            Err(RejectReason::WrongDigest)
        );
        assert_eq!(
            check(Codec::Exact, &tensor[1..], 1),
            Err(RejectReason::Malformed)
        );
        let nan = plain::encode(&[1.0, f32::NAN, 0.0]);
        assert_eq!(check(Codec::F32, &nan, 1), Err(RejectReason::OutOfRange));
        assert_eq!(
            check(Codec::F32, &nan[4..], 1),
            Err(RejectReason::Malformed)
        );
    }

    #[test]
    fn another_version_is_told_what_to_do() {
        let refusal = Refusal::from(FrameError::Version {
            expected: PROTOCOL_VERSION,
            got: 9,
        });
        assert_eq!(refusal.code, RefusalCode::VersionMismatch);
        assert!(
            refusal.message.contains("Reload the page"),
            "{}",
            refusal.message
        );
    }
}
