//! A training graph as dispatches of kernels: data that is made once for a model and a number of samples.
//!
//! Nothing here needs a device. Tests run recordings with the kernels' twins.

mod elementwise;
mod images;
pub(crate) mod places;
pub(crate) mod product;
mod sequence;

use std::collections::{BTreeMap, BTreeSet};

use tabswarm_model::Graph;
use tabswarm_model::graph::{Access, Activation, BufferId, LossKind, Op, Targets};
use tabswarm_model::layout::TensorId;
use tabswarm_model::run_file::Precision;

use self::places::{Places, Slot, half_words};
use self::product::Shape;
use super::kernels::Call;
use super::params::{AccumulateParams, HalveParams, LossParams, SealParams};

/// Micro-batches whose gradients may be added up before they are read back: those of the largest lease.
pub(crate) const MAX_TURNS: usize = 64;
/// Counts of a micro-batch: see `counts.wgsl`.
pub(crate) const COUNTS: usize = 5;
/// Which of them are of values that half precision can't hold: those of the forward and of the backward pass.
pub(crate) const OVERFLOWS: [usize; 2] = [3, 4];
/// Words of [`Slot::Turn`] before the noise keys.
pub(crate) const TURN_WORDS: usize = 4;
/// Tells kernels that may read either precision that they read halves: see `half.wgsl`.
const HALF: (&str, u32) = ("HALF", 1);
/// Invocations of a workgroup where each has one value.
const LANES: usize = 256;
/// Workgroups of kernels that count, at most.
const COUNTING_WORKGROUPS: usize = 32;
/// Workgroups along one dimension, at most.
const MAX_WORKGROUPS: usize = 65_535;

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dispatch {
    pub(crate) call: Call,
    /// One for each binding of the kernel.
    pub(crate) slots: Vec<Slot>,
    pub(crate) workgroups: [u32; 3],
    /// The kernel's `override` constants.
    pub(crate) constants: Vec<(&'static str, u32)>,
    /// Floating-point operations, roughly.
    pub(crate) flops: u64,
}

/// What a graph does on a device, for a number of samples.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    /// Both passes of a micro-batch and the loss.
    pub(crate) gradient: Vec<Dispatch>,
    /// Takes the micro-batch's gradient up into the lease's.
    pub(crate) accumulate: Vec<Dispatch>,
    /// At the end of a lease.
    pub(crate) seal: Vec<Dispatch>,
    /// How many values each device buffer needs.
    pub(crate) sizes: BTreeMap<Slot, usize>,
}

impl Recording {
    pub(crate) fn new(graph: &Graph, samples: usize, shape: Shape, precision: Precision) -> Self {
        let mut recorder = Recorder::new(graph, samples, shape, precision);
        for step in &graph.forward {
            recorder.record(&step.op);
        }
        recorder.loss();
        recorder.is_backward = true;
        for step in &graph.backward {
            recorder.record(&step.op);
        }
        let accumulate = recorder.accumulate();
        let seal = recorder.seal();
        Self {
            gradient: recorder.dispatches,
            accumulate,
            seal,
            sizes: recorder.sizes,
        }
    }

    /// All dispatches.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        self.gradient
            .iter()
            .chain(&self.accumulate)
            .chain(&self.seal)
    }
}

/// Writes down one operation after the other.
struct Recorder<'a> {
    graph: &'a Graph,
    samples: usize,
    shape: Shape,
    precision: Precision,
    places: Places,
    /// Buffers of which a copy in half precision has what they have.
    copied: BTreeSet<BufferId>,
    is_backward: bool,
    dispatches: Vec<Dispatch>,
    sizes: BTreeMap<Slot, usize>,
}

impl<'a> Recorder<'a> {
    fn new(graph: &'a Graph, samples: usize, shape: Shape, precision: Precision) -> Self {
        let places = Places::new(graph, precision);
        let rows = samples * graph.loss.rows;
        let targets = match graph.loss.targets() {
            Targets::Classes => rows,
            Targets::Values => rows * graph.loss.width,
        };
        let dropouts = graph.forward.iter().map(|step| match step.op {
            Op::Dropout { site, .. } => site as usize + 1,
            _ => 0,
        });
        let params = graph.layout.len();
        let mut sizes = BTreeMap::from([
            (Slot::Params, params),
            (Slot::Gradient, params),
            (Slot::Sums, params),
            (Slot::Input, samples * graph.input_features()),
            (Slot::Targets, targets),
            (Slot::Tallies, 2 * rows),
            (Slot::Counts, COUNTS * MAX_TURNS),
            (Slot::Seal, 1),
            (Slot::Turn, TURN_WORDS + 2 * dropouts.max().unwrap_or(0)),
            (Slot::Void, 1),
        ]);
        for (place, features) in places.features.iter().enumerate() {
            sizes.insert(Slot::Shared(place), samples * features);
        }
        for (place, features) in places.half_features.iter().enumerate() {
            sizes.insert(Slot::HalfShared(place), half_words(samples * features));
        }
        if precision == Precision::Half {
            sizes.insert(Slot::HalfParams, half_words(params));
            let input = half_words(samples * graph.input_features());
            sizes.insert(Slot::HalfInput, input);
        }
        Self {
            graph,
            samples,
            shape,
            precision,
            places,
            copied: BTreeSet::new(),
            is_backward: false,
            dispatches: Vec::new(),
            sizes,
        }
    }

    fn record(&mut self, op: &Op) {
        match op {
            Op::Dense { .. } | Op::DenseBackward { .. } => self.dense(op),
            Op::Conv2d { .. } | Op::Conv2dBackward { .. } => self.conv2d(op),
            Op::MaxPool { .. }
            | Op::MaxPoolBackward { .. }
            | Op::AvgPool { .. }
            | Op::AvgPoolBackward { .. } => self.pool(op),
            Op::Embedding { .. }
            | Op::EmbeddingBackward { .. }
            | Op::AddPosition { .. }
            | Op::AddPositionBackward { .. } => self.embedding(op),
            Op::LayerNorm { .. } | Op::LayerNormBackward { .. } => self.layer_norm(op),
            Op::Attention { .. } | Op::AttentionBackward { .. } => self.attention(op),
            Op::Activate { .. }
            | Op::ActivationBackward { .. }
            | Op::Dropout { .. }
            | Op::DropoutBackward { .. }
            | Op::Add { .. }
            | Op::Copy { .. } => self.elementwise(op),
        }
        op.visit_buffers(&mut |id, access| {
            if access != Access::Read {
                self.copied.remove(&id);
            }
        });
    }

    /// Where products find a buffer: in half precision a copy, which is made unless there is one.
    fn factor(&mut self, id: BufferId) -> Slot {
        let values = self.places.of(id);
        if self.precision == Precision::Single {
            return values;
        }
        let halves = self.places.half_of(id);
        if self.copied.insert(id) {
            self.halve(values, halves, self.len(id));
        }
        halves
    }

    /// Where products find the parameters.
    fn weights(&self) -> Slot {
        match self.precision {
            Precision::Single => Slot::Params,
            Precision::Half => Slot::HalfParams,
        }
    }

    /// Copies values in half precision.
    fn halve(&mut self, values: Slot, halves: Slot, len: usize) {
        let params = HalveParams {
            len: word(len),
            count: word(OVERFLOWS[usize::from(self.is_backward)]),
        };
        let slots = [Slot::Turn, values, halves, Slot::Counts];
        self.values(Call::Halve(params), &slots, half_words(len));
    }

    /// Dispatches of products, whose kernels read either precision.
    fn products(&mut self, dispatches: Vec<Dispatch>) {
        for mut dispatch in dispatches {
            if self.precision == Precision::Half {
                dispatch.constants.push(HALF);
            }
            self.dispatches.push(dispatch);
        }
    }

    fn loss(&mut self) {
        let loss = self.graph.loss;
        let rows = self.samples * loss.rows;
        let mut params = LossParams {
            rows: word(rows),
            width: word(loss.width),
            per_row: quotient(1.0, loss.rows),
            temperature: 1.0,
            slope: quotient(2.0, loss.width),
            has_classes: u32::from(loss.targets() == Targets::Classes),
        };
        let call = match loss.kind {
            LossKind::SoftmaxCrossEntropy => Call::SoftmaxCrossEntropy(params),
            LossKind::SoftTargets { temperature } => {
                params.temperature = temperature;
                Call::SoftTargets(params)
            }
            LossKind::MeanSquaredError { .. } => Call::MeanSquaredError(params),
        };
        let prediction = self.places.of(loss.prediction);
        let grad = self.places.of(loss.grad);
        let slots = [prediction, Slot::Targets, grad, Slot::Tallies, Slot::Turn];
        self.copied.remove(&loss.grad);
        self.rows(call, &slots, rows, loss.width);
    }

    fn accumulate(&self) -> Vec<Dispatch> {
        let len = self.graph.layout.len();
        let call = Call::Accumulate(AccumulateParams { len: word(len) });
        let slots = [Slot::Turn, Slot::Gradient, Slot::Sums, Slot::Counts];
        vec![many_values_a_lane(call, &slots, len)]
    }

    fn seal(&self) -> Vec<Dispatch> {
        let mut first = 0;
        let parts = [Slot::Sums, Slot::Tallies, Slot::Counts].map(|slot| {
            let len = self.sizes[&slot];
            let call = Call::Seal(SealParams {
                len: word(len),
                first: word(first),
            });
            first += len;
            many_values_a_lane(call, &[Slot::Turn, slot, Slot::Seal], len)
        });
        parts.into()
    }

    /// A dispatch with one invocation for each of so many values.
    fn values(&mut self, call: Call, slots: &[Slot], len: usize) {
        self.dispatches.push(one_lane_a_value(call, slots, len));
    }

    /// A dispatch with one workgroup for each row.
    fn rows(&mut self, call: Call, slots: &[Slot], rows: usize, width: usize) {
        self.dispatches
            .push(one_workgroup_a_row(call, slots, rows, width));
    }

    fn offset(&self, tensor: TensorId) -> u32 {
        word(self.graph.layout.tensor(tensor).offset)
    }

    /// Has at least so many values in a working memory.
    fn need_scratch(&mut self, scratch: Slot, values: usize) {
        let size = self.sizes.entry(scratch).or_default();
        *size = values.max(*size);
    }
}

/// A dispatch with one invocation for each of so many values.
pub(crate) fn one_lane_a_value(call: Call, slots: &[Slot], len: usize) -> Dispatch {
    Dispatch {
        call,
        slots: slots.to_vec(),
        workgroups: grid(len.div_ceil(LANES)),
        constants: Vec::new(),
        flops: len as u64,
    }
}

/// A dispatch with so few invocations that what each of them counts is soon added up.
fn many_values_a_lane(call: Call, slots: &[Slot], len: usize) -> Dispatch {
    let workgroups = len.div_ceil(LANES).min(COUNTING_WORKGROUPS);
    Dispatch {
        workgroups: grid(workgroups),
        ..one_lane_a_value(call, slots, len)
    }
}

/// A dispatch with one workgroup for each row, with as many invocations as its width can keep busy.
pub(crate) fn one_workgroup_a_row(
    call: Call,
    slots: &[Slot],
    rows: usize,
    width: usize,
) -> Dispatch {
    let lanes = (width / 2).next_power_of_two().clamp(8, LANES);
    Dispatch {
        call,
        slots: slots.to_vec(),
        workgroups: grid(rows),
        constants: vec![("LANES", word(lanes))],
        flops: 8 * rows as u64 * width as u64,
    }
}

/// A dispatch with one workgroup for eight columns.
pub(crate) fn one_workgroup_eight_columns(
    call: Call,
    slots: &[Slot],
    [rows, columns]: [usize; 2],
) -> Dispatch {
    Dispatch {
        call,
        slots: slots.to_vec(),
        workgroups: grid(columns.div_ceil(8)),
        constants: Vec::new(),
        flops: rows as u64 * columns as u64,
    }
}

/// So many workgroups, in two dimensions where one is too short.
fn grid(workgroups: usize) -> [u32; 3] {
    let across = workgroups.clamp(1, MAX_WORKGROUPS);
    [word(across), word(workgroups.div_ceil(across).max(1)), 1]
}

/// The number of an activation in the kernels.
fn activation_code(activation: Activation) -> u32 {
    match activation {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Gelu => 2,
        Activation::Sigmoid => 3,
        Activation::Tanh => 4,
    }
}

/// A size as kernels take it. Larger ones are those of models that no device has the memory for: the limits of
/// the adapter are checked before anything runs.
fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// `dividend / divisor`, rounded once.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is meant")]
fn quotient(dividend: f64, divisor: usize) -> f32 {
    (dividend / divisor as f64) as f32
}
