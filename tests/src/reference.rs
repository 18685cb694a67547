//! Straight-line training of a run file: what every version must be, whoever takes part.

use std::sync::Arc;

use tabswarm_compute::{AccumulateError, Batch, Engine, LeaseAccumulator};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::inner::InnerSteps;
use tabswarm_model::master::{Master, StepInput};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::Mode;
use tabswarm_model::samples::{MicroBatch, SampleStore};

/// The digest of every version, from 0 to the last, of a sync or local run. All chunks are in `samples`.
pub fn digests(run: &Run, samples: &mut SampleStore) -> Vec<Digest> {
    let plan = RoundPlan::new(run, samples.manifest().samples);
    let graph = Arc::new(run.graph());
    let tensors = graph.layout.tensors().len();
    let engine = Engine::new(graph, run.class, run.micro_batch as usize)
        .expect("every machine has the portable class");
    let mut trainer = Trainer {
        run,
        plan,
        samples,
        engine,
    };
    let mut master = Master::new(run);
    let mut exponents = Exponents::first(tensors);
    let mut digests = vec![Digest::of_params(master.params())];
    for version in 0..plan.versions_total() {
        let vectors = trainer.vectors(version, &master);
        while let Some(fits) = accumulate(&vectors, &mut master, &exponents) {
            assert!(exponents.lower(&fits), "an overflow lowers an exponent");
            master.reset();
        }
        let units = plan.units(version);
        let (divisor, rate_factor) = match run.mode {
            Mode::Sync => {
                let total = plan.batches().steps_total();
                let samples = u64::from(plan.batches().step(version).samples);
                (samples, run.schedule.factor(version, total))
            }
            Mode::Local(_) => (u64::from(units), 1.0),
            Mode::Async { .. } => panic!("an async run depends on who takes part"),
        };
        let report = master
            .apply_exact(&StepInput {
                exponents: exponents.current(),
                divisor,
                rate_factor,
            })
            .expect("the job does not diverge");
        let of = exponents.current().to_vec();
        exponents.commit(&of, &report.max_abs_sums, units);
        digests.push(report.digest);
    }
    digests
}

struct Trainer<'a> {
    run: &'a Run,
    plan: RoundPlan,
    samples: &'a mut SampleStore,
    engine: Engine,
}

impl Trainer<'_> {
    /// What is added up for the version that follows `version`.
    fn vectors(&mut self, version: u64, master: &Master) -> Vec<Vec<f32>> {
        let units = 0..self.plan.units(version);
        match self.run.mode {
            Mode::Local(_) => units
                .map(|shard| self.shard(version, shard, master))
                .collect(),
            Mode::Sync | Mode::Async { .. } => {
                let params = self.engine.set_params(master.params());
                params.expect("the model's length");
                units.map(|idx| self.gradient(version, idx)).collect()
            }
        }
    }

    /// What a shard moves.
    fn shard(&mut self, version: u64, shard: u32, master: &Master) -> Vec<f32> {
        let total = self.plan.batches().steps_total();
        let mut inner = InnerSteps::new(self.run, Arc::clone(master.params()));
        for (inner_step, batch) in (0..).zip(self.plan.shard(version, shard)) {
            let params = self.engine.set_params(inner.params());
            params.expect("the model's length");
            let shape = self.plan.batches().step(batch);
            for idx in 0..shape.micro_batches {
                inner.add(&self.gradient(batch, idx));
            }
            let progress = self.plan.inner_progress(version, inner_step);
            let rate_factor = self.run.schedule.factor(progress, total);
            inner
                .step(shape.samples, rate_factor)
                .expect("the job does not diverge");
        }
        inner.moved()
    }

    /// The gradient of a micro-batch, with the engine's parameters.
    fn gradient(&mut self, batch_idx: u64, micro_batch: u32) -> Vec<f32> {
        let shape = self.plan.batches().step(batch_idx);
        let mut batch = MicroBatch::default();
        assert!(
            self.samples.gather(shape, micro_batch, &mut batch),
            "all chunks are here"
        );
        let noise = NoiseKey {
            seed: self.run.seed,
            version: batch_idx,
            micro_batch,
        };
        self.engine
            .gradient(Batch {
                noise: Some(noise),
                ..Batch::of(&batch)
            })
            .expect("finite gradients");
        self.engine.gradient_buffer().to_vec()
    }
}

/// Adds up one version; gives the exponents that fit where one does not.
fn accumulate(vectors: &[Vec<f32>], master: &mut Master, exponents: &Exponents) -> Option<Vec<i8>> {
    let mut sums = LeaseAccumulator::new(master.layout());
    for vector in vectors {
        match sums.add(vector, exponents.current()) {
            Ok(()) => {}
            Err(AccumulateError::Overflow { fits }) => return Some(fits),
            Err(error) => panic!("{error}"),
        }
    }
    master.accumulate(sums.sums());
    None
}
