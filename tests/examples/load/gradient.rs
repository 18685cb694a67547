//! Updates that all workers share: one real gradient, in the fixed point that a lease asks for.
//!
//! Computing a gradient for every lease would only heat the machine that the server needs. What a server checks is
//! right all the same: shapes, exponents, ranges, counts, digests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use tabswarm_compute::{AccumulateError, Batch, Engine, LeaseAccumulator};
use tabswarm_model::Run;
use tabswarm_model::dataset::Manifest;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::Master;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::samples::{MicroBatch, SampleReader};
use tabswarm_protocol::codec::exact;

/// Exponents change with the steps: older encodings are of no use.
const MAX_CACHED: usize = 512;

/// An encoded tensor.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

/// What an update of so many units with these exponents holds.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It fits.
    Update(Arc<Tensor>),
    /// The largest exponents with which it would.
    Overflow(Vec<i8>),
}

/// The gradient and what was made of it.
#[derive(Debug)]
pub(crate) struct Gradient {
    pub(crate) plan: RoundPlan,
    run: Run,
    values: Vec<f32>,
    encoded: Mutex<HashMap<(Vec<i8>, u32), Answer>>,
}

impl Gradient {
    /// The gradient of the data set's first samples at the run's first parameters.
    pub(crate) fn compute(run: Run, manifest: &Manifest, first_chunk: &[u8]) -> Result<Self> {
        let chunk = manifest.parse_chunk(0, first_chunk)?;
        let reader = SampleReader::new(manifest, run.data.normalization);
        let mut batch = MicroBatch::default();
        for row in 0..run.micro_batch as usize {
            reader.push(&chunk, row, &mut batch);
        }
        let graph = Arc::new(run.graph());
        let mut engine = Engine::new(graph, run.class, run.micro_batch as usize)
            .context("the run's class is not of this machine")?;
        engine.set_params(Master::new(&run).params())?;
        engine.gradient(Batch::of(&batch))?;
        let plan = RoundPlan::new(&run, manifest.samples);
        Ok(Self {
            plan,
            values: engine.gradient_buffer().to_vec(),
            run,
            encoded: Mutex::default(),
        })
    }

    /// The sum of `units` such gradients.
    pub(crate) fn answer(&self, exponents: &[i8], units: u32) -> Result<Answer> {
        let key = (exponents.to_vec(), units);
        let lock = || self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = lock().get(&key) {
            return Ok(answer.clone());
        }
        let answer = self.encode(exponents, units)?;
        let mut encoded = lock();
        if encoded.len() >= MAX_CACHED {
            encoded.clear();
        }
        encoded.insert(key, answer.clone());
        Ok(answer)
    }

    fn encode(&self, exponents: &[i8], units: u32) -> Result<Answer> {
        let layout = self.run.graph().layout;
        let mut sums = LeaseAccumulator::new(&layout);
        for _ in 0..units {
            match sums.add(&self.values, exponents) {
                Ok(()) => {}
                Err(AccumulateError::Overflow { fits }) => return Ok(Answer::Overflow(fits)),
                Err(error) => bail!("the gradient can't be added: {error}"),
            }
        }
        let bytes = exact::encode(sums.sums());
        let digest = Digest::of(&bytes);
        Ok(Answer::Update(Arc::new(Tensor { bytes, digest })))
    }
}
