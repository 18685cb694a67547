//! Hostile bytes, random and structure-aware: a typed fault or a message, never a panic, bounded memory.
//!
//! The inputs follow from their number alone. `TABSWARM_HOSTILE_INPUTS` sets how many of each kind are tried.

use std::collections::BTreeMap;

use tabswarm_protocol::codec::{exact, f32 as plain};
use tabswarm_protocol::{
    ClientMessage, Decoder, FrameError, RawMessage, ServerMessage, encode_frames,
};

use crate::allocation::peak_of;
use crate::common::{SplitMix, encoded_samples, frame, with_checksum};

const INPUTS: u64 = 200_000;
const MAX_TENSOR: usize = 1 << 14;
/// What one input may make a decoder hold: it and its copies are at most some thousand bytes.
const MAX_PEAK_BYTES: usize = 1 << 20;

fn inputs() -> u64 {
    let number = |text: String| text.parse().expect("TABSWARM_HOSTILE_INPUTS is a number");
    std::env::var("TABSWARM_HOSTILE_INPUTS").map_or(INPUTS, number)
}

/// How often each fault was met, and how often a message was read.
type Outcomes = BTreeMap<&'static str, u64>;

fn name_of(error: &FrameError) -> &'static str {
    match error {
        FrameError::Magic { .. } => "magic",
        FrameError::Version { .. } => "version",
        FrameError::Kind { .. } => "kind",
        FrameError::TooLong { .. } => "too long",
        FrameError::Checksum { .. } => "checksum",
        FrameError::Sequence { .. } => "sequence",
        FrameError::Control { .. } => "control",
    }
}

/// Does with bytes from a peer what both edges do.
fn receive(bytes: &[u8], random: &mut SplitMix, outcomes: &mut Outcomes) {
    let mut decoder = Decoder::new(MAX_TENSOR);
    let mut messages = Vec::new();
    let mut rest = bytes;
    let mut outcome = Ok(());
    while !rest.is_empty() && outcome.is_ok() {
        let (part, behind) = rest.split_at(1 + random.below(rest.len()));
        outcome = decoder.push(part, &mut messages);
        rest = behind;
    }
    if let Err(error) = outcome {
        assert_eq!(decoder.push(&[], &mut messages), Err(error.clone()));
        *outcomes.entry(name_of(&error)).or_default() += 1;
    }
    for raw in &messages {
        read(raw, outcomes);
    }
}

fn read(raw: &RawMessage, outcomes: &mut Outcomes) {
    let mut count = |name| *outcomes.entry(name).or_default() += 1;
    match raw.control::<ClientMessage>() {
        Ok(message) => {
            count("client message");
            // What was read can be said again and means the same.
            let frames = encode_frames(&message, &raw.tensor).concat();
            let mut again = Vec::new();
            assert_eq!(Decoder::new(MAX_TENSOR).push(&frames, &mut again), Ok(()));
            assert_eq!(again[0].control(), Ok(message));
        }
        Err(error) => count(name_of(&error)),
    }
    match raw.control::<ServerMessage>() {
        Ok(_) => count("server message"),
        Err(error) => count(name_of(&error)),
    }
    let len = raw.tensor.len().min(1_000);
    match exact::decode(&raw.tensor, len) {
        Ok(values) => assert_eq!(exact::encode(&values), raw.tensor),
        Err(_) => count("codec"),
    }
    match plain::decode(&raw.tensor, raw.tensor.len() / 4) {
        Ok(values) => assert!(values.iter().all(|value| value.is_finite())),
        Err(_) => count("codec"),
    }
}

/// Noise, behind a part of a valid header so that it gets further than the magic, or inside a valid frame.
fn random_input(random: &mut SplitMix) -> Vec<u8> {
    let len = random.below(160);
    let noise = random.bytes(len);
    match random.below(4) {
        0 => noise,
        1 => {
            let valid = frame(0, &[7], &[], 0);
            let kept = random.below(valid.len());
            [&valid[..kept], &noise].concat()
        }
        2 => frame(0, &noise, &[], 0),
        _ => {
            let tensor_len = u32::try_from(noise.len()).unwrap();
            frame(0, &[7], &noise, tensor_len)
        }
    }
}

const WORDS: [u32; 10] = [
    0,
    1,
    2,
    24,
    255,
    MAX_TENSOR as u32 + 1,
    (128 << 10) + 1,
    1 << 20,
    i32::MAX as u32,
    u32::MAX,
];

fn mutate(bytes: &mut Vec<u8>, random: &mut SplitMix) {
    if bytes.is_empty() {
        bytes.push(random.byte());
        return;
    }
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.byte(),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        3 => bytes.insert(at, random.byte()),
        4 => bytes.truncate(at),
        5 => {
            bytes.remove(at);
        }
        6 => {
            let part = bytes[at..(at + 1 + random.below(16)).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        _ => {
            let end = (at + 4).min(bytes.len());
            let word = WORDS[random.below(WORDS.len())].to_le_bytes();
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
    }
}

/// One to three valid messages, damaged: in the control part or the tensor with frames that are right, in a
/// header with a checksum that is right, in the order of the frames, or anywhere.
fn structured_input(samples: &[Vec<u8>], random: &mut SplitMix) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = (0..=random.below(3))
        .map(|_| samples[random.below(samples.len())].clone())
        .collect();
    let target = random.below(parts.len());
    let mutations = 1 + random.below(3);
    match random.below(5) {
        0 => {
            let word =
                |at: usize| u32::from_le_bytes(parts[target][at..at + 4].try_into().unwrap());
            let control_len = word(8) as usize;
            let (control, tensor) = parts[target][24..].split_at(control_len);
            let (mut control, mut tensor) = (control.to_vec(), tensor.to_vec());
            for _ in 0..mutations {
                let in_tensor = !tensor.is_empty() && random.below(3) == 0;
                mutate(if in_tensor { &mut tensor } else { &mut control }, random);
            }
            let tensor_len = u32::try_from(tensor.len()).unwrap();
            parts[target] = frame(0, &control, &tensor, tensor_len);
        }
        1 => {
            let at = [6, 7, 8, 12, 16][random.below(5)];
            let word = WORDS[random.below(WORDS.len())].to_le_bytes();
            let width = if at < 8 { 1 } else { 4 };
            parts[target][at..at + width].copy_from_slice(&word[..width]);
            parts[target] = with_checksum(std::mem::take(&mut parts[target]));
        }
        2 => {
            let tensor = random.bytes(40);
            let cut = random.below(41);
            let announced = [40, 39, 41, 0, 1_000][random.below(5)];
            parts.insert(target, frame(0, &[7], &tensor[..cut], announced));
            parts.insert(target + 1, frame(1, &[], &tensor[cut..], 0));
        }
        3 => parts.rotate_left(target),
        _ => (0..mutations).for_each(|_| mutate(&mut parts[target], random)),
    }
    let mut bytes = parts.concat();
    if random.below(8) == 0 {
        mutate(&mut bytes, random);
    }
    bytes
}

/// Runs all inputs of a kind; prints and gives what came of them.
#[expect(
    clippy::print_stderr,
    reason = "the number of inputs is a figure to report"
)]
fn attack(kind: &str, input: impl Fn(&mut SplitMix) -> Vec<u8>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut largest = 0;
    let inputs = inputs();
    for number in 0..inputs {
        let mut random = SplitMix(number);
        let bytes = input(&mut random);
        let ((), peak) = peak_of(|| receive(&bytes, &mut random, &mut outcomes));
        largest = largest.max(peak);
        assert!(
            peak <= MAX_PEAK_BYTES,
            "{kind} input {number} took {peak} bytes"
        );
    }
    eprintln!("{inputs} {kind} inputs, 0 panics, at most {largest} bytes held: {outcomes:?}");
    outcomes
}

fn assert_met(outcomes: &Outcomes, expected: &[&str]) {
    for name in expected {
        let n_met = outcomes.get(name).copied().unwrap_or(0);
        assert!(n_met >= 10, "{name} was met {n_met} times: {outcomes:?}");
    }
}

#[test]
fn random_inputs_give_typed_faults() {
    let outcomes = attack("random", random_input);
    let expected = ["magic", "version", "kind", "too long", "control", "codec"];
    assert_met(&outcomes, &expected);
}

#[test]
fn structure_aware_inputs_give_typed_faults() {
    let samples = encoded_samples();
    let outcomes = attack("structure-aware", |random| {
        structured_input(&samples, random)
    });
    let expected = [
        "magic",
        "version",
        "kind",
        "too long",
        "checksum",
        "sequence",
        "control",
        "codec",
        "client message",
        "server message",
    ];
    assert_met(&outcomes, &expected);
}
