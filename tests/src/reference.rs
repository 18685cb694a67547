//! Straight-line training of a run file: what every version must be, whoever takes part.

use std::sync::Arc;

use tabswarm_compute::{AccumulateError, Batch, Engine, LeaseAccumulator};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::master::{Master, StepInput};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::samples::{MicroBatch, SampleStore};

/// The digest of every version, from 0 to the last. All chunks are in `samples`.
pub fn digests(run: &Run, samples: &mut SampleStore) -> Vec<Digest> {
    let plan = *samples.plan();
    let graph = Arc::new(run.graph());
    let tensors = graph.layout.tensors().len();
    let mut engine = Engine::new(graph, run.class, run.micro_batch as usize)
        .expect("every machine has the portable class");
    let mut master = Master::new(run);
    let mut exponents = Exponents::first(tensors);
    let mut digests = vec![Digest::of_params(master.params())];
    let steps_total = plan.steps_total();
    for version in 0..steps_total {
        engine
            .set_params(master.params())
            .expect("the model's length");
        while let Some(fits) = accumulate_step(
            samples,
            &mut engine,
            &mut master,
            (run.seed, version),
            &exponents,
        ) {
            assert!(exponents.lower(&fits), "an overflow lowers an exponent");
            master.reset();
        }
        let shape = plan.step(version);
        let report = master
            .apply_exact(&StepInput {
                exponents: exponents.current(),
                samples: u64::from(shape.samples),
                rate_factor: run.schedule.factor(version, steps_total),
            })
            .expect("the job does not diverge");
        exponents.commit(&report.max_abs_sums, shape.micro_batches);
        digests.push(report.digest);
    }
    digests
}

/// Adds up one step; gives the exponents that fit where one does not.
fn accumulate_step(
    samples: &mut SampleStore,
    engine: &mut Engine,
    master: &mut Master,
    (seed, version): (u64, u64),
    exponents: &Exponents,
) -> Option<Vec<i8>> {
    let shape = samples.plan().step(version);
    let mut sums = LeaseAccumulator::new(master.layout());
    let mut batch = MicroBatch::default();
    for idx in 0..shape.micro_batches {
        assert!(
            samples.gather(shape, idx, &mut batch),
            "all chunks are here"
        );
        let noise = NoiseKey {
            seed,
            version,
            micro_batch: idx,
        };
        engine
            .gradient(Batch {
                noise: Some(noise),
                ..Batch::of(&batch)
            })
            .expect("finite gradients");
        match sums.add(engine.gradient_buffer(), exponents.current()) {
            Ok(()) => {}
            Err(AccumulateError::Overflow { fits }) => return Some(fits),
            Err(error) => panic!("{error}"),
        }
    }
    master.accumulate(sums.sums());
    None
}
