//! Straight-line training of a run file: what every version must be, whoever takes part.

use std::sync::Arc;

use tabswarm_compute::{AccumulateError, Batch, Engine, LeaseAccumulator};
use tabswarm_coordinator::Settings;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::inner::InnerSteps;
use tabswarm_model::master::{Master, StepInput};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::{Codec, Mode};
use tabswarm_model::samples::{MicroBatch, SampleStore};

/// The digest of every version, from 0 to the last, of a sync or local run. All chunks are in `samples`.
pub fn digests(run: &Run, samples: &mut SampleStore) -> Vec<Digest> {
    digests_of_changed(run, &[], samples)
}

/// The same of a run whose settings were changed, up to the first version that depends on who takes part.
pub fn digests_of_changed(
    base: &Run,
    settings: &[Settings],
    samples: &mut SampleStore,
) -> Vec<Digest> {
    let mut trainer = Trainer::new(base, samples);
    let mut digests = vec![Digest::of_params(trainer.master.params())];
    let mut later = settings.iter().peekable();
    for version in 0.. {
        while let Some(next) = later.next_if(|next| next.version().0 <= version) {
            trainer.change(&next.run);
        }
        let is_over = version >= trainer.plan.versions_total();
        // Sums of floats depend on how they were grouped.
        let is_exact = trainer.run.codec == Codec::Exact;
        if is_over || !is_exact || matches!(trainer.run.mode, Mode::Async { .. }) {
            break;
        }
        digests.push(trainer.step(version));
    }
    digests
}

struct Trainer<'a> {
    run: &'a Run,
    plan: RoundPlan,
    samples: &'a mut SampleStore,
    engine: Engine,
    master: Master,
    exponents: Exponents,
}

impl<'a> Trainer<'a> {
    fn new(run: &'a Run, samples: &'a mut SampleStore) -> Self {
        let graph = Arc::new(run.graph());
        let tensors = graph.layout.tensors().len();
        Self {
            run,
            plan: RoundPlan::new(run, samples.manifest().samples),
            engine: Engine::new(graph, run.class, run.micro_batch as usize)
                .expect("every machine has the portable class"),
            master: Master::new(run),
            exponents: Exponents::first(tensors),
            samples,
        }
    }

    fn change(&mut self, to: &'a Run) {
        if !self.run.keeps_exponents(to) {
            self.exponents = Exponents::first(self.exponents.current().len());
        }
        self.master = self.master.changed(self.run, to);
        self.plan = RoundPlan::new(to, self.samples.manifest().samples);
        self.run = to;
    }

    /// Makes the version that follows `version`; gives its digest.
    fn step(&mut self, version: u64) -> Digest {
        let vectors = self.vectors(version);
        while let Some(fits) = accumulate(&vectors, &mut self.master, &self.exponents) {
            let lowered = self.exponents.lower(&fits);
            assert!(lowered, "an overflow lowers an exponent");
            self.master.reset();
        }
        let units = self.plan.units(version);
        let position = self.plan.progress(version);
        let (divisor, rate_factor) = match self.run.mode {
            Mode::Sync => {
                let total = self.plan.batches().steps_total();
                let samples = u64::from(self.plan.step_at(position).samples);
                (samples, self.run.schedule.factor(position, total))
            }
            Mode::Local(_) => (u64::from(units), 1.0),
            Mode::Async { .. } => panic!("an async run depends on who takes part"),
        };
        let report = self
            .master
            .apply_exact(&StepInput {
                exponents: self.exponents.current(),
                divisor,
                rate_factor,
            })
            .expect("the job does not diverge");
        let of = self.exponents.current().to_vec();
        self.exponents.commit(&of, &report.max_abs_sums, units);
        report.digest
    }

    /// What is added up for the version that follows `version`.
    fn vectors(&mut self, version: u64) -> Vec<Vec<f32>> {
        let units = 0..self.plan.units(version);
        match self.run.mode {
            Mode::Local(_) => units.map(|shard| self.shard(version, shard)).collect(),
            Mode::Sync | Mode::Async { .. } => {
                let params = self.engine.set_params(self.master.params());
                params.expect("the model's length");
                let batch = self.plan.batch_at(self.plan.progress(version));
                units.map(|idx| self.gradient(batch, idx)).collect()
            }
        }
    }

    /// What a shard moves.
    fn shard(&mut self, version: u64, shard: u32) -> Vec<f32> {
        let total = self.plan.batches().steps_total();
        let mut inner = InnerSteps::new(self.run, Arc::clone(self.master.params()));
        for (inner_step, position) in (0..).zip(self.plan.shard(version, shard)) {
            let batch = self.plan.batch_at(position);
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
