//! Frames: what goes in comes out, and nothing else does.

use proptest::prelude::*;
use tabswarm_protocol::frame::HEADER_BYTES;
use tabswarm_protocol::limits::{MAX_CONTROL_BYTES, MAX_FRAME_BODY_BYTES, MAX_TENSOR_BYTES};
use tabswarm_protocol::{
    ClientMessage, Decoder, FrameError, PROTOCOL_VERSION, RawMessage, encode_frames,
};

use crate::common::{
    client_samples, decode_in_pieces, edited, encoded_samples, frame, server_samples, with_checksum,
};

fn error_of(bytes: &[u8]) -> FrameError {
    let mut decoder = Decoder::new(MAX_TENSOR_BYTES);
    let (_, outcome) = decode_in_pieces(&mut decoder, bytes, []);
    outcome.expect_err("a fault")
}

fn pong() -> Vec<u8> {
    encode_frames(&ClientMessage::Pong { nonce: 5 }, &[]).concat()
}

#[test]
fn every_message_survives_the_trip() {
    let mut decoder = Decoder::new(MAX_TENSOR_BYTES);
    for (message, tensor) in client_samples().into_iter().flat_map(|s| s.messages) {
        let bytes = encode_frames(&message, &tensor).concat();
        let (raw, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
        assert_eq!(outcome, Ok(()));
        assert_eq!(raw[0].control(), Ok(message));
        assert_eq!((raw.len(), &raw[0].tensor), (1, &tensor));
    }
    for (message, tensor) in server_samples().into_iter().flat_map(|s| s.messages) {
        let bytes = encode_frames(&message, &tensor).concat();
        let (raw, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
        assert_eq!(outcome, Ok(()));
        assert_eq!(raw[0].control(), Ok(message));
        assert_eq!((raw.len(), &raw[0].tensor), (1, &tensor));
    }
}

#[test]
fn tensors_are_split_at_the_frame_limit() {
    let message = ClientMessage::Goodbye;
    let room = MAX_FRAME_BODY_BYTES - 1;
    let cases = [
        (0, 1),
        (1, 1),
        (room, 1),
        (room + 1, 2),
        (room + MAX_FRAME_BODY_BYTES, 2),
        (room + MAX_FRAME_BODY_BYTES + 1, 3),
        (3 * MAX_FRAME_BODY_BYTES, 4),
    ];
    for (len, n_frames) in cases {
        let tensor: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let frames = encode_frames(&message, &tensor);
        assert_eq!(frames.len(), n_frames, "{len}");
        let longest = frames.iter().map(Vec::len).max();
        assert!(longest <= Some(HEADER_BYTES + MAX_FRAME_BODY_BYTES));
        let mut decoder = Decoder::new(len);
        let (messages, outcome) = decode_in_pieces(&mut decoder, &frames.concat(), [1, 22, 1, 700]);
        assert_eq!(outcome, Ok(()), "{len}");
        assert!(messages.len() == 1 && messages[0].tensor == tensor, "{len}");
    }
}

#[test]
fn a_wrong_magic_is_told_after_four_bytes_and_a_version_after_six() {
    let mut decoder = Decoder::new(0);
    let mut messages = Vec::new();
    assert_eq!(decoder.push(b"GET", &mut messages), Ok(()));
    let magic = FrameError::Magic { got: *b"GET " };
    assert_eq!(decoder.push(b" ", &mut messages), Err(magic.clone()));
    assert_eq!(decoder.push(&pong(), &mut messages), Err(magic));
    for got in [0, PROTOCOL_VERSION + 1, 0x0d0a, u16::MAX] {
        let bytes = edited(pong(), 4, &got.to_le_bytes());
        let expected = PROTOCOL_VERSION;
        assert_eq!(error_of(&bytes[..6]), FrameError::Version { expected, got });
        assert_eq!(error_of(&bytes), FrameError::Version { expected, got });
    }
    assert!(messages.is_empty());
}

#[test]
fn unknown_kinds_and_reserved_bits_are_refused() {
    for (kind, reserved) in [(2, 0), (255, 0), (0, 1), (1, 128)] {
        let bytes = with_checksum(edited(pong(), 6, &[kind, reserved]));
        assert_eq!(error_of(&bytes), FrameError::Kind { kind, reserved });
    }
}

#[test]
fn lengths_beyond_the_limits_are_refused_by_the_header_alone() {
    let too_long = |at: usize, len: usize| {
        let word = u32::try_from(len).unwrap().to_le_bytes();
        match error_of(&edited(pong(), at, &word)[..HEADER_BYTES]) {
            FrameError::TooLong { what, got, .. } => (what, got),
            other => panic!("{other}"),
        }
    };
    let all = u32::MAX as usize;
    for len in [MAX_CONTROL_BYTES + 1, all] {
        assert_eq!(too_long(8, len), ("control part", len));
    }
    let control = pong().len() - HEADER_BYTES;
    for len in [MAX_FRAME_BODY_BYTES, all] {
        assert_eq!(too_long(12, len), ("frame body", len + control));
    }
    for len in [MAX_TENSOR_BYTES + 1, all] {
        assert_eq!(too_long(16, len), ("message tensor", len));
    }
}

#[test]
fn the_tensor_limit_can_be_changed_and_never_exceeds_the_wires() {
    let bytes = encode_frames(&ClientMessage::Goodbye, &[1; 101]).concat();
    let mut decoder = Decoder::new(100);
    let (_, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
    let what = "message tensor";
    let (got, limit) = (101, 100);
    assert_eq!(outcome, Err(FrameError::TooLong { what, got, limit }));
    let mut decoder = Decoder::new(0);
    decoder.set_max_tensor_bytes(101);
    let (messages, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
    assert_eq!((messages.len(), outcome), (1, Ok(())));
    decoder.set_max_tensor_bytes(usize::MAX);
    let word = u32::MAX.to_le_bytes();
    let (_, outcome) = decode_in_pieces(&mut decoder, &edited(pong(), 16, &word), []);
    let limit = MAX_TENSOR_BYTES;
    let got = u32::MAX as usize;
    assert_eq!(outcome, Err(FrameError::TooLong { what, got, limit }));
}

#[test]
fn frames_out_of_sequence_are_refused() {
    let beginning = frame(0, &[7], &[1, 2], 10);
    let cases = [
        ("a continuation without a beginning", frame(1, &[], &[1], 0)),
        (
            "a beginning within a message",
            [beginning.clone(), pong()].concat(),
        ),
        (
            "more tensor bytes than the message has",
            frame(0, &[7], &[1, 2], 1),
        ),
        ("a message without control part", frame(0, &[], &[], 0)),
        (
            "a continuation that begins something",
            [beginning.clone(), frame(1, &[7], &[3], 0)].concat(),
        ),
        (
            "a continuation that begins something",
            [beginning.clone(), frame(1, &[], &[3], 10)].concat(),
        ),
        (
            "a continuation of the wrong length",
            [beginning.clone(), frame(1, &[], &[], 0)].concat(),
        ),
        (
            "a continuation of the wrong length",
            [beginning, frame(1, &[], &[3; 9], 0)].concat(),
        ),
    ];
    for (problem, bytes) in cases {
        assert_eq!(error_of(&bytes), FrameError::Sequence { problem });
    }
}

#[test]
fn an_endless_message_ends_at_its_announced_length() {
    let mut bytes = frame(0, &[7], &[], 3);
    for _ in 0..3 {
        bytes.extend(frame(1, &[], &[9], 0));
    }
    let mut decoder = Decoder::new(3);
    let (messages, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
    assert_eq!((messages.len(), outcome), (1, Ok(())));
    let (_, outcome) = decode_in_pieces(&mut decoder, &frame(1, &[], &[9], 0), []);
    let problem = "a continuation without a beginning";
    assert_eq!(outcome, Err(FrameError::Sequence { problem }));
}

#[test]
fn messages_before_a_fault_are_delivered_and_the_fault_stays() {
    let bytes = [pong(), pong(), b"nonsense".to_vec(), pong()].concat();
    let mut decoder = Decoder::new(0);
    let (messages, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
    assert_eq!(messages.len(), 2);
    let magic = FrameError::Magic { got: *b"nons" };
    assert_eq!(outcome, Err(magic.clone()));
    let (messages, outcome) = decode_in_pieces(&mut decoder, &pong(), []);
    assert_eq!((messages.len(), outcome), (0, Err(magic)));
}

#[test]
fn control_parts_must_be_used_up_and_known() {
    let control_error = |control: &[u8]| {
        let raw = RawMessage {
            control: control.to_vec(),
            tensor: vec![],
        };
        match raw.control::<ClientMessage>() {
            Err(FrameError::Control { problem }) => problem,
            other => panic!("{other:?}"),
        }
    };
    // Goodbye is variant 7: with a byte too many, cut off, unknown, and a number of eleven bytes.
    assert_eq!(control_error(&[7, 0]), "1 bytes too many");
    for bad in [&[][..], &[8], &[6], &[6, 0x80], &[0xff; 11]] {
        assert!(!control_error(bad).is_empty(), "{bad:?}");
    }
}

fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::sample::select(encoded_samples()), 1..6)
}

proptest! {
    #[test]
    fn chunking_does_not_matter(stream in stream(), pieces in prop::collection::vec(0_usize..90, 0..80)) {
        let bytes = stream.concat();
        let mut whole = Decoder::new(MAX_TENSOR_BYTES);
        let mut pieced = Decoder::new(MAX_TENSOR_BYTES);
        let (expected, outcome) = decode_in_pieces(&mut whole, &bytes, []);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(expected.len(), stream.len());
        prop_assert_eq!(decode_in_pieces(&mut pieced, &bytes, pieces), (expected, Ok(())));
    }

    #[test]
    fn long_tensors_survive_any_chunking(
        len in 0_usize..3 * MAX_FRAME_BODY_BYTES,
        pieces in prop::collection::vec(0_usize..400_000, 0..20),
    ) {
        let tensor: Vec<u8> = (0..len).map(|n| (n * 31 % 256) as u8).collect();
        let bytes = encode_frames(&ClientMessage::Goodbye, &tensor).concat();
        let (messages, outcome) = decode_in_pieces(&mut Decoder::new(len), &bytes, pieces);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(messages.len(), 1);
        prop_assert!(messages[0].tensor == tensor);
    }

    #[test]
    fn truncation_yields_a_prefix_and_no_fault(stream in stream(), cut in any::<prop::sample::Index>()) {
        let bytes = stream.concat();
        let cut = cut.index(bytes.len());
        let (all, _) = decode_in_pieces(&mut Decoder::new(MAX_TENSOR_BYTES), &bytes, []);
        let (got, outcome) = decode_in_pieces(&mut Decoder::new(MAX_TENSOR_BYTES), &bytes[..cut], []);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert!(got.len() < all.len());
        prop_assert_eq!(&got[..], &all[..got.len()]);
    }

    #[test]
    fn a_flipped_bit_is_noticed(stream in stream(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = stream.concat();
        let (all, _) = decode_in_pieces(&mut Decoder::new(MAX_TENSOR_BYTES), &bytes, []);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A grown length swallows what follows: as soon as there is enough of that, the checksum tells.
        bytes.resize(bytes.len() + HEADER_BYTES + MAX_FRAME_BODY_BYTES, 0);
        let (got, outcome) = decode_in_pieces(&mut Decoder::new(MAX_TENSOR_BYTES), &bytes, []);
        prop_assert!(outcome.is_err());
        prop_assert!(got.len() < all.len());
        prop_assert_eq!(&got[..], &all[..got.len()]);
    }

    #[test]
    fn any_bytes_give_messages_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..300), prefix in 0_usize..=24) {
        let mut stream = pong()[..prefix].to_vec();
        stream.extend(bytes);
        let (messages, outcome) = decode_in_pieces(&mut Decoder::new(1 << 16), &stream, [7]);
        prop_assert!(messages.is_empty() || outcome.is_ok() || stream.len() > HEADER_BYTES);
    }
}
