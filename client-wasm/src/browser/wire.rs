//! The messages between driver and lane, as JavaScript values.
//!
//! A message is an array: its kind, then its parts. Large parts are typed arrays whose buffers are moved,
//! not copied, from one thread to the other, and go back and forth: a fresh buffer costs a page fault for
//! every 4 KiB, which for small leases would be more than computing.

use std::cell::RefCell;

use js_sys::{
    Array, ArrayBuffer, BigInt, BigUint64Array, Float32Array, Float64Array, Int8Array, Int32Array,
    Uint8Array, Uint16Array, Uint32Array,
};
use tabswarm_compute::BatchStats;
use tabswarm_compute::task::{InnerWork, TaskPart};
use wasm_bindgen::{JsCast as _, JsValue};

use crate::driver::Work;
use crate::lane::{BackendChoice, Done, Report, Sums};

/// Buffers kept for the next message: a lane's answers bring two.
const MAX_SPARE_BUFFERS: usize = 4;

/// Driver to lane: a run to load, as JSON.
const LOAD: u8 = 0;
/// Driver to lane: parameters.
const PARAMS: u8 = 1;
/// Driver to lane: samples to compute with.
const WORK: u8 = 2;

/// Where a message with work says which inner steps of a shard it has, if it has some.
const INNER_AT: u32 = 8;

/// Lane to driver: the run is loaded.
const READY: u8 = 10;
/// Lane to driver: sums.
const DONE: u8 = 11;
/// Lane to driver: exponents that fit.
const OVERFLOW: u8 = 12;
/// Lane to driver: a sentence.
const FAILED: u8 = 13;
/// Lane to driver: what it computes with, and why.
const BACKEND: u8 = 14;
/// Lane to driver: the steps of a shard left all bounds.
const DIVERGED: u8 = 15;

/// A message and the buffers that move with it.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The message.
    pub(crate) message: Array,
    /// The buffers.
    pub(crate) transfer: Array,
}

impl Envelope {
    fn new(kind: u8) -> Self {
        Self {
            message: Array::of(&[JsValue::from(kind)]),
            transfer: Array::new(),
        }
    }

    fn with(self, part: impl Into<JsValue>) -> Self {
        self.message.push(&part.into());
        self
    }

    fn moving(self, part: impl Into<JsValue>, buffer: &ArrayBuffer) -> Self {
        self.transfer.push(buffer);
        self.with(part)
    }
}

/// Buffers that one side of a lane may fill next.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    spare: RefCell<Vec<ArrayBuffer>>,
}

impl Buffers {
    /// A buffer of at least `bytes`.
    fn take(&self, bytes: usize) -> ArrayBuffer {
        let bytes = length(bytes);
        let mut spare = self.spare.borrow_mut();
        let fitting = spare.iter().map(ArrayBuffer::byte_length).enumerate();
        let tightest = fitting
            .filter(|&(_, length)| length >= bytes)
            .min_by_key(|&(_, length)| length);
        match tightest {
            Some((at, _)) => spare.swap_remove(at),
            None => ArrayBuffer::new(bytes),
        }
    }

    /// Keeps a buffer that was read.
    pub(crate) fn keep(&self, buffer: ArrayBuffer) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() == MAX_SPARE_BUFFERS {
            spare.swap_remove(0);
        }
        spare.push(buffer);
    }

    fn floats(&self, len: usize) -> (Float32Array, ArrayBuffer) {
        let buffer = self.take(len * size_of::<f32>());
        (
            Float32Array::new_with_byte_offset_and_length(&buffer, 0, length(len)),
            buffer,
        )
    }
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("lengths are u32 in a 32-bit module")
}

/// The message that makes a lane load a run.
pub(crate) fn load(run_json: &str) -> Envelope {
    Envelope::new(LOAD).with(run_json)
}

/// The message that gives a lane parameters (little-endian `f32`).
pub(crate) fn params(values: &[u8], buffers: &Buffers) -> Envelope {
    let (floats, buffer) = buffers.floats(values.len() / size_of::<f32>());
    Uint8Array::new_with_byte_offset_and_length(&buffer, 0, length(values.len())).copy_from(values);
    Envelope::new(PARAMS).moving(floats, &buffer)
}

/// The message that gives a lane work.
pub(crate) fn work(work: Work<'_>, buffers: &Buffers) -> Envelope {
    let n_inputs = work.batches.iter().map(|batch| batch.inputs.len()).sum();
    let n_labels = work.batches.iter().map(|batch| batch.labels.len()).sum();
    let soft_targets = work
        .batches
        .iter()
        .map(|batch| batch.soft_targets.as_slice());
    let soft_targets = soft_targets.collect::<Vec<_>>().concat();
    let (inputs, buffer) = buffers.floats(n_inputs);
    let labels = Uint16Array::new_with_length(length(n_labels));
    let sizes = Uint32Array::new_with_length(length(work.batches.len()));
    let (mut input_idx, mut label_idx) = (0, 0);
    for (batch_idx, batch) in (0..).zip(work.batches) {
        let (n_inputs, n_labels) = (length(batch.inputs.len()), length(batch.labels.len()));
        let (input_end, label_end) = (input_idx + n_inputs, label_idx + n_labels);
        inputs
            .subarray(input_idx, input_end)
            .copy_from(&batch.inputs);
        labels
            .subarray(label_idx, label_end)
            .copy_from(&batch.labels);
        sizes.set_index(batch_idx, batch.samples);
        (input_idx, label_idx) = (input_end, label_end);
    }
    let batches: Vec<u64> = work.parts.iter().map(|part| part.batch).collect();
    let ranges = work.parts.iter().flat_map(|part| [part.first, part.count]);
    let ranges: Vec<u32> = ranges.collect();
    let message = Envelope::new(WORK)
        .moving(inputs, &buffer)
        .with(labels)
        .with(sizes)
        .with(Int8Array::from(work.exponents))
        .with(BigUint64Array::from(batches.as_slice()))
        .with(Uint32Array::from(ranges.as_slice()))
        .with(Float32Array::from(soft_targets.as_slice()));
    match work.inner {
        None => message,
        Some(inner) => message
            .with(BigInt::from(inner.lease_id))
            .with(inner.first)
            .with(inner.is_last)
            .with(Float64Array::from(inner.rate_factors.as_slice())),
    }
}

/// What a lane is told.
#[derive(Debug)]
pub(crate) enum ToLane {
    /// Load a run.
    Load(String),
    /// Take parameters.
    Params(Float32Array),
    /// Compute.
    Work(LaneWork),
}

/// A task as it comes to a lane.
#[derive(Debug)]
pub(crate) struct LaneWork {
    /// (samples, features).
    pub(crate) inputs: Float32Array,
    /// (samples, labels of a sample).
    pub(crate) labels: Uint16Array,
    /// Samples of each micro-batch.
    pub(crate) sizes: Vec<u32>,
    /// Empty for the `f32` codec.
    pub(crate) exponents: Vec<i8>,
    /// Which micro-batches these are.
    pub(crate) parts: Vec<TaskPart>,
    /// Where the parts are inner steps of a shard.
    pub(crate) inner: Option<InnerWork>,
    /// (samples, classes); empty where there are labels.
    pub(crate) soft_targets: Float32Array,
}

/// Reads a message to a lane; none for anything else.
pub(crate) fn read_to_lane(message: &JsValue) -> Option<ToLane> {
    let parts = message.dyn_ref::<Array>()?;
    match kind(parts)? {
        LOAD => parts.get(1).as_string().map(ToLane::Load),
        PARAMS => parts.get(1).dyn_into().ok().map(ToLane::Params),
        WORK => Some(ToLane::Work(LaneWork {
            inputs: parts.get(1).dyn_into().ok()?,
            labels: parts.get(2).dyn_into().ok()?,
            sizes: parts.get(3).dyn_into::<Uint32Array>().ok()?.to_vec(),
            exponents: parts.get(4).dyn_into::<Int8Array>().ok()?.to_vec(),
            parts: task_parts(&parts.get(5), &parts.get(6))?,
            inner: match parts.length() {
                ..=INNER_AT => None,
                _ => Some(inner_work(parts)?),
            },
            soft_targets: parts.get(7).dyn_into().ok()?,
        })),
        _ => None,
    }
}

fn task_parts(batches: &JsValue, ranges: &JsValue) -> Option<Vec<TaskPart>> {
    let batches = batches.dyn_ref::<BigUint64Array>()?.to_vec();
    let ranges = ranges.dyn_ref::<Uint32Array>()?.to_vec();
    let (ranges, _) = ranges.as_chunks::<2>();
    let parts = batches.into_iter().zip(ranges);
    let parts = parts.map(|(batch, &[first, count])| TaskPart {
        batch,
        first,
        count,
    });
    Some(parts.collect())
}

fn inner_work(parts: &Array) -> Option<InnerWork> {
    let lease_id = parts.get(INNER_AT).dyn_into::<BigInt>().ok()?;
    Some(InnerWork {
        lease_id: u64::try_from(lease_id).ok()?,
        first: whole(&parts.get(INNER_AT + 1))?,
        is_last: parts.get(INNER_AT + 2).as_bool()?,
        rate_factors: parts
            .get(INNER_AT + 3)
            .dyn_into::<Float64Array>()
            .ok()?
            .to_vec(),
    })
}

/// The answer of a lane that loaded its run.
pub(crate) fn ready() -> Envelope {
    Envelope::new(READY)
}

/// The answer of a lane with fixed-point sums.
pub(crate) fn done_exact(
    sums: &[i32],
    tally: BatchStats,
    elapsed_us: f64,
    buffers: &Buffers,
) -> Envelope {
    let buffer = buffers.take(size_of_val(sums));
    let array = Int32Array::new_with_byte_offset_and_length(&buffer, 0, length(sums.len()));
    array.copy_from(sums);
    let answer = Envelope::new(DONE).moving(array, &buffer);
    with_tally(answer, tally, elapsed_us, buffers)
}

/// The answer of a lane with floating-point sums.
pub(crate) fn done_plain(
    sums: &[f32],
    tally: BatchStats,
    elapsed_us: f64,
    buffers: &Buffers,
) -> Envelope {
    let (array, buffer) = buffers.floats(sums.len());
    array.copy_from(sums);
    let answer = Envelope::new(DONE).moving(array, &buffer);
    with_tally(answer, tally, elapsed_us, buffers)
}

/// Completes an answer and gives back a buffer: two came, with parameters and inputs, and the sums are in one.
fn with_tally(
    envelope: Envelope,
    tally: BatchStats,
    elapsed_us: f64,
    buffers: &Buffers,
) -> Envelope {
    let answer = envelope
        .with(tally.samples)
        .with(BigInt::from(tally.loss_q20))
        .with(tally.correct)
        .with(elapsed_us);
    match buffers.spare.borrow_mut().pop() {
        Some(buffer) => answer.moving(buffer.clone(), &buffer),
        None => answer,
    }
}

/// The answer of a lane whose gradients do not fit.
pub(crate) fn overflow(fits: &[i8]) -> Envelope {
    Envelope::new(OVERFLOW).with(Int8Array::from(fits))
}

/// The answer of a lane whose steps left all bounds.
pub(crate) fn diverged() -> Envelope {
    Envelope::new(DIVERGED)
}

/// The answer of a lane that failed.
pub(crate) fn failed(message: &str) -> Envelope {
    Envelope::new(FAILED).with(message)
}

/// Says what a lane computes with. It is no answer to anything.
#[cfg(feature = "gpu")]
pub(crate) fn backend(choice: &BackendChoice) -> Envelope {
    Envelope::new(BACKEND)
        .with(choice.is_gpu)
        .with(choice.reason.as_str())
}

/// Reads a lane's answer; anything unreadable is a failure of the lane.
pub(crate) fn read_report(message: &JsValue, buffers: &Buffers) -> Report {
    message
        .dyn_ref::<Array>()
        .and_then(|parts| report(parts, buffers))
        .unwrap_or_else(|| Report::Failed {
            message: "The lane sent something unreadable.".to_owned(),
        })
}

fn report(parts: &Array, buffers: &Buffers) -> Option<Report> {
    match kind(parts)? {
        READY => Some(Report::Ready),
        DONE => {
            let array = parts.get(1);
            let (sums, buffer) = match array.dyn_ref::<Int32Array>() {
                Some(exact) => (Sums::Exact(exact.to_vec()), exact.buffer()),
                None => {
                    let plain = array.dyn_ref::<Float32Array>()?;
                    (Sums::Plain(plain.to_vec()), plain.buffer())
                }
            };
            buffers.keep(buffer);
            if let Ok(buffer) = parts.get(6).dyn_into() {
                buffers.keep(buffer);
            }
            let loss_q20 = parts.get(3).dyn_into::<BigInt>().ok()?;
            Some(Report::Done(Done {
                sums,
                tally: BatchStats {
                    samples: whole(&parts.get(2))?,
                    loss_q20: i64::try_from(loss_q20).ok()?,
                    correct: whole(&parts.get(4))?,
                },
                elapsed_us: u64::from(whole(&parts.get(5))?),
            }))
        }
        OVERFLOW => Some(Report::Overflow {
            fits: parts.get(1).dyn_into::<Int8Array>().ok()?.to_vec(),
        }),
        DIVERGED => Some(Report::Diverged),
        FAILED => Some(Report::Failed {
            message: parts.get(1).as_string()?,
        }),
        BACKEND => Some(Report::Backend(BackendChoice {
            is_gpu: parts.get(1).as_bool()?,
            reason: parts.get(2).as_string()?,
        })),
        _ => None,
    }
}

fn kind(parts: &Array) -> Option<u8> {
    whole(&parts.get(0)).and_then(|kind| kind.try_into().ok())
}

/// A number as whole number, saturating.
fn whole(value: &JsValue) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates on purpose"
    )]
    value.as_f64().map(|number| number as u32)
}
