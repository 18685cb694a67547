//! Memory grows with the bytes received, never with the lengths announced.
#![expect(
    unsafe_code,
    reason = "a counting allocator is a trait that can only be implemented so"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tabswarm_protocol::codec::{exact, f32 as plain};
use tabswarm_protocol::frame::HEADER_BYTES;
use tabswarm_protocol::limits::{MAX_CONTROL_BYTES, MAX_FRAME_BODY_BYTES, MAX_TENSOR_BYTES};
use tabswarm_protocol::{ClientMessage, Decoder, ServerMessage};

use crate::common::{SplitMix, edited, encoded_samples, frame};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

fn size(layout: Layout) -> isize {
    layout.size().cast_signed()
}

// SAFETY: everything is passed on to the system's allocator; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Largest number of bytes that this thread held at once in `work`, above what it held before.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).max(0).cast_unsigned())
}

/// What a decoder may hold besides twice the bytes received: the buffer of one frame.
const ONE_FRAME: usize = 2 * (HEADER_BYTES + MAX_FRAME_BODY_BYTES);

fn assert_bounded(what: &str, bytes: &[u8], piece: usize) {
    let ((), peak) = peak_of(|| {
        let mut decoder = Decoder::new(MAX_TENSOR_BYTES);
        let mut messages = Vec::new();
        for part in bytes.chunks(piece) {
            let outcome = decoder.push(part, &mut messages);
            // As the edges do: what is complete is taken away before more is read.
            messages.clear();
            if outcome.is_err() {
                break;
            }
        }
    });
    let bound = 2 * bytes.len() + ONE_FRAME;
    assert!(peak <= bound, "{what}, pieces of {piece}: {peak} > {bound}");
}

fn word(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap().to_le_bytes()
}

/// Streams that announce as much as they may and send as little as they can.
fn hostile_streams() -> Vec<(&'static str, Vec<u8>)> {
    let most = u32::try_from(MAX_TENSOR_BYTES).unwrap();
    let announced = frame(0, &[7], &[], most);
    let body = edited(announced.clone(), 12, &word(MAX_FRAME_BODY_BYTES - 1));
    let control = edited(announced.clone(), 8, &word(MAX_CONTROL_BYTES));
    let crumbs = || (0..40_000).flat_map(|_| frame(1, &[], &[9], 0));
    let full = || (0..8).flat_map(|_| frame(1, &[], &vec![9; MAX_FRAME_BODY_BYTES], 0));
    vec![
        (
            "a tensor announced and not sent",
            announced[..HEADER_BYTES].to_vec(),
        ),
        ("a body announced and not sent", body),
        ("a control part announced and not sent", control),
        (
            "crumbs of a long tensor",
            announced.iter().copied().chain(crumbs()).collect(),
        ),
        (
            "full frames of a longer tensor",
            announced.into_iter().chain(full()).collect(),
        ),
        (
            "small messages",
            encoded_samples()
                .concat()
                .repeat(MAX_FRAME_BODY_BYTES / 10_000),
        ),
        ("noise", SplitMix(1).bytes(1 << 20)),
    ]
}

#[test]
fn a_decoder_holds_at_most_twice_what_it_received_and_one_frame() {
    for (what, bytes) in hostile_streams() {
        for piece in [1_000, 65_536, usize::MAX] {
            assert_bounded(what, &bytes, piece);
        }
    }
}

#[test]
fn announced_lengths_alone_take_nothing() {
    for (what, bytes) in hostile_streams().into_iter().take(3) {
        let mut decoder = Decoder::new(MAX_TENSOR_BYTES);
        let (outcome, peak) = peak_of(|| decoder.push(&bytes, &mut Vec::new()));
        assert_eq!(outcome, Ok(()), "{what}");
        assert!(peak <= 2 * bytes.len(), "{what}: {peak}");
    }
}

#[test]
fn control_parts_with_lying_lengths_take_little() {
    // An overflow whose exponents, an update whose ranges and a run whose text claim to be 4 GiB.
    let long = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let overflow = [&[4, 1][..], &long, &[1; 50]].concat();
    let update = [&[3, 1][..], &long, &[1; 50]].concat();
    let run = [&[1, 1][..], &long, &[b'x'; 50]].concat();
    for control in [overflow, update, run] {
        let raw = tabswarm_protocol::RawMessage {
            control,
            tensor: vec![],
        };
        let (unreadable, peak) = peak_of(|| {
            raw.control::<ClientMessage>().is_err() && raw.control::<ServerMessage>().is_err()
        });
        assert!(unreadable);
        assert!(peak <= 1_000, "{:?}: {peak}", raw.control);
    }
}

#[test]
fn a_control_part_takes_at_most_eight_times_its_length() {
    // The worst there is: an update of ranges of two bytes each, eight in memory.
    let ranges = (MAX_CONTROL_BYTES - 100) / 2;
    let count = [
        0x80 | (ranges % 128) as u8,
        0x80 | (ranges / 128 % 128) as u8,
        (ranges >> 14) as u8,
    ];
    let mut control = [&[3, 1][..], &count].concat();
    control.extend(vec![1; 2 * ranges]);
    control.extend([0; 4 + 32]);
    let raw = tabswarm_protocol::RawMessage {
        control,
        tensor: vec![],
    };
    let (message, peak) = peak_of(|| raw.control::<ClientMessage>());
    assert!(message.is_ok());
    assert!(peak <= 8 * raw.control.len(), "{peak}");
}

#[test]
fn codecs_do_not_believe_lengths() {
    let (outcome, peak) = peak_of(|| exact::decode(&[0; 1_000], usize::MAX).is_err());
    assert!(outcome && peak == 0, "{peak}");
    let (outcome, peak) = peak_of(|| plain::decode(&[0; 1_000], usize::MAX).is_err());
    assert!(outcome && peak == 0, "{peak}");
    // The values asked for are the model's, not the sender's: they bound what zeros can unfold to.
    let zeros = exact::encode(&vec![0; 1 << 20]);
    let (values, peak) = peak_of(|| exact::decode(&zeros, 1 << 20));
    assert!(values.is_ok() && peak == 4 << 20, "{peak}");
}
