//! What a lane computes, without the browser around it.

use std::sync::Arc;

use tabswarm_compute::task::{
    InnerWork, OpenShard, TaskEngine, TaskError, TaskPart, add_gradients, do_inner_steps,
};
use tabswarm_compute::{Batch, BatchStats, Engine, Sums, Targets};
use tabswarm_model::graph::Targets as Wanted;
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::run_file::Mode;
use tabswarm_model::{Graph, Run};

/// The samples of a task: micro-batches one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskSamples<'a> {
    /// (samples, features).
    pub(crate) inputs: &'a [f32],
    /// (samples, labels of a sample).
    pub(crate) labels: &'a [u16],
    /// (samples, classes), for losses on soft targets.
    pub(crate) soft_targets: &'a [f32],
    /// Samples of each micro-batch.
    pub(crate) sizes: &'a [u32],
    /// Which micro-batches these are, batch by batch.
    pub(crate) parts: &'a [TaskPart],
    /// Where the parts are inner steps of a shard.
    pub(crate) inner: Option<&'a InnerWork>,
}

/// Why a task gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Per tensor the largest exponent that fits.
    Overflow(Vec<i8>),
    /// The shard's own steps gave parameters that are infinite or not a number.
    Diverged,
    /// A sentence.
    Failed(String),
}

/// An engine with a run.
#[derive(Debug)]
pub(super) struct Computer {
    engine: Engine,
    run: Run,
    sums: Sums,
    /// The parameters given last, where shards begin with them.
    start: Arc<[f32]>,
    shard: OpenShard,
    /// Why the parameters given last can't be used.
    params_fault: Option<String>,
}

impl Computer {
    /// An engine for a run, tested to give the bits of the run's arithmetic class.
    ///
    /// # Errors
    /// A sentence where the run can't be read or this browser can't compute it.
    pub(super) fn new(run_json: &str) -> Result<Self, String> {
        let run =
            Run::from_json(run_json).map_err(|error| format!("The run can't be read: {error}"))?;
        let graph = Arc::new(run.graph());
        let sums = Sums::new(run.codec, &graph.layout);
        let engine = Engine::new(graph, run.class, run.micro_batch as usize);
        Ok(Self {
            engine: engine.map_err(|error| format!("The engine could not start: {error}."))?,
            run,
            sums,
            start: Arc::default(),
            shard: OpenShard::default(),
            params_fault: None,
        })
    }

    /// Takes parameters for all later tasks. A task tells when they were of no use.
    pub(super) fn set_params(&mut self, params: &[f32]) {
        if matches!(self.run.mode, Mode::Local(_)) {
            self.start = params.into();
        }
        let outcome = self.engine.set_params(params);
        self.params_fault = outcome
            .err()
            .map(|error| format!("The parameters are of no use: {error}."));
    }

    /// Computes the gradients of a task and sums them up.
    ///
    /// # Errors
    /// See [`Fault`]; the sums then mean nothing.
    pub(super) fn compute(
        &mut self,
        samples: TaskSamples<'_>,
        exponents: &[i8],
    ) -> Result<BatchStats, Fault> {
        if let Some(fault) = &self.params_fault {
            return Err(Fault::Failed(fault.clone()));
        }
        self.sums.reset();
        let TaskSamples { parts, inner, .. } = samples;
        let mut engine = Feeding {
            engine: &mut self.engine,
            sizes: samples.sizes.iter(),
            rest: samples,
        };
        let (run, sums) = (&self.run, &mut self.sums);
        let done = match inner {
            None => add_gradients(&mut engine, run.seed, parts, exponents, sums),
            Some(inner) => do_inner_steps(
                &mut engine,
                (run, &self.start),
                (parts, inner),
                &mut self.shard,
                exponents,
                sums,
            ),
        };
        done.map_err(|error| match error {
            TaskError::Overflow(fits) => Fault::Overflow(fits),
            TaskError::Diverged(_) => Fault::Diverged,
            TaskError::Engine(message) => Fault::Failed(message),
            other => Fault::Failed(format!("The task failed: {other}.")),
        })
    }

    /// The sums of the last task.
    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }
}

/// An engine that takes the samples of each micro-batch off a task's.
struct Feeding<'a> {
    engine: &'a mut Engine,
    sizes: std::slice::Iter<'a, u32>,
    rest: TaskSamples<'a>,
}

impl TaskEngine for Feeding<'_> {
    type Error = String;

    fn set_params(&mut self, params: &[f32]) -> Result<(), String> {
        let taken = self.engine.set_params(params);
        taken.map_err(|error| format!("The parameters are of no use: {error}."))
    }

    fn next_gradient(&mut self, noise: NoiseKey) -> Result<BatchStats, String> {
        let size = self.sizes.next();
        let batch = size.and_then(|&size| self.rest.take(size as usize, self.engine.graph()));
        let batch = Batch {
            noise: Some(noise),
            ..batch.ok_or("The task has too few samples.")?
        };
        let stats = self.engine.gradient(batch);
        stats.map_err(|error| format!("The engine failed: {error}."))
    }

    fn gradient_buffer(&self) -> &[f32] {
        self.engine.gradient_buffer()
    }
}

impl<'a> TaskSamples<'a> {
    /// Takes the next samples off; none where there are too few.
    pub(crate) fn take(&mut self, samples: usize, graph: &Graph) -> Option<Batch<'a>> {
        let (rows, classes) = (graph.label_rows(), graph.classes);
        let inputs = self.inputs.split_off(..samples * graph.input_features())?;
        let targets = match graph.loss.targets() {
            Wanted::Classes => Targets::Classes(self.labels.split_off(..samples * rows)?),
            Wanted::Values => {
                Targets::Values(self.soft_targets.split_off(..samples * rows * classes)?)
            }
        };
        Some(Batch {
            inputs,
            targets,
            noise: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const FEATURES: usize = 4;
    const SAMPLES: [u32; 3] = [2, 2, 1];

    fn inputs() -> Vec<f32> {
        (0..5 * FEATURES)
            .map(|idx| (idx % 7) as f32 / 7.0)
            .collect()
    }

    fn computer(codec: &str) -> Computer {
        let mut computer = Computer::new(&fixture::run_json(codec)).unwrap();
        let params: Vec<f32> = (0..fixture::PARAMETERS)
            .map(|idx| (idx % 5) as f32 * 0.1 - 0.2)
            .collect();
        computer.set_params(&params);
        computer
    }

    fn task(inputs: &[f32]) -> TaskSamples<'_> {
        TaskSamples {
            inputs,
            labels: &[0, 1, 2, 0, 1],
            soft_targets: &[],
            sizes: &SAMPLES,
            parts: &[TaskPart {
                batch: 0,
                first: 0,
                count: 3,
            }],
            inner: None,
        }
    }

    #[test]
    fn exact_and_plain_sums_agree() {
        let inputs = inputs();
        let (mut exact, mut plain) = (computer("exact"), computer("f32"));
        let tally = exact.compute(task(&inputs), &[20, 20]).unwrap();
        assert_eq!(plain.compute(task(&inputs), &[]), Ok(tally));
        assert_eq!(tally.samples, 5);
        let (Sums::Exact(exact), Sums::F32(plain)) = (exact.sums(), plain.sums()) else {
            panic!("each codec has its own sums");
        };
        let exact = exact.sums();
        assert!(exact.iter().any(|&sum| sum != 0));
        for (&exact, &plain) in exact.iter().zip(plain) {
            let difference = f64::from(exact) / f64::from(1 << 20) - f64::from(plain);
            assert!(difference.abs() < 1e-5, "{exact} {plain}");
        }
    }

    #[test]
    fn each_micro_batch_of_a_text_has_its_labels_and_its_noise() {
        let run_json = r#"{"name":"tale","seed":1,
            "data":{"format":"text","path":"tale","vocabulary":"characters","context":2},
            "model":{"input":[2],"layers":[{"kind":"embedding","vocabulary":3,"width":8},
                {"kind":"dropout","rate":0.5},{"kind":"dense","units":3}],"loss":"softmax_cross_entropy"},
            "train":{"epochs":2,"micro_batch":2,"global_batch":8},
            "optimizer":{"kind":"sgd","learning_rate":0.1}}"#;
        let mut computer = Computer::new(run_json).unwrap();
        let params: Vec<f32> = (0..3 * 8 + 8 * 3 + 3)
            .map(|idx| (idx % 5) as f32 * 0.2 - 0.3)
            .collect();
        computer.set_params(&params);
        let (inputs, labels) = ([0.0, 1.0, 1.0, 2.0, 2.0, 0.0], [1, 2, 2, 0, 0, 1]);
        let mut sums = |from: usize, sizes: &[u32], batch, first| {
            let end = from + sizes.iter().sum::<u32>() as usize;
            let samples = TaskSamples {
                inputs: &inputs[from * 2..end * 2],
                labels: &labels[from * 2..end * 2],
                soft_targets: &[],
                sizes,
                parts: &[TaskPart {
                    batch,
                    first,
                    count: u32::try_from(sizes.len()).unwrap(),
                }],
                inner: None,
            };
            let tally = computer.compute(samples, &[16; 3]).unwrap();
            assert_eq!(tally.samples as usize, end - from);
            match computer.sums() {
                Sums::Exact(sums) => sums.sums().to_vec(),
                Sums::F32(_) => vec![],
            }
        };
        let whole = sums(0, &[2, 1], 4, 6);
        let (head, tail) = (sums(0, &[2], 4, 6), sums(2, &[1], 4, 7));
        let parts: Vec<i32> = head.iter().zip(&tail).map(|(a, b)| a + b).collect();
        assert_eq!(whole, parts);
        assert_ne!(head, sums(0, &[2], 5, 6));
        assert_ne!(head, sums(0, &[2], 4, 7));
    }

    #[test]
    fn a_shard_is_its_inner_steps_however_it_is_divided() {
        let inputs = inputs();
        let mut computer = computer("local");
        let part = |batch, count| TaskPart {
            batch,
            first: 0,
            count,
        };
        let steps = [part(0, 2), part(1, 1)];
        let mut moved = |ends: &[usize]| {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            for task in starts.zip(ends).map(|(start, &end)| start..end) {
                // Two micro-batches of two samples, then one of one.
                let (samples, sizes) = ([0, 4, 5], [0, 2, 3]);
                let samples = samples[task.start]..samples[task.end];
                let inner = InnerWork {
                    lease_id: 1,
                    first: u32::try_from(task.start).unwrap(),
                    is_last: task.end == 2,
                    rate_factors: vec![1.0; task.len()],
                };
                let work = TaskSamples {
                    inputs: &inputs[samples.start * FEATURES..samples.end * FEATURES],
                    labels: &[0, 1, 2, 0, 1][samples],
                    soft_targets: &[],
                    sizes: &SAMPLES[sizes[task.start]..sizes[task.end]],
                    parts: &steps[task.clone()],
                    inner: Some(&inner),
                };
                computer.compute(work, &[20, 20]).unwrap();
            }
            match computer.sums() {
                Sums::Exact(sums) => sums.sums().to_vec(),
                Sums::F32(_) => vec![],
            }
        };
        let whole = moved(&[2]);
        assert!(whole.iter().any(|&value| value != 0));
        assert_eq!(moved(&[1, 2]), whole);
    }

    #[test]
    fn soft_targets_go_with_their_samples() {
        let soft = r#"{"kind":"softmax_cross_entropy","targets":"soft","temperature":2.0}"#;
        let run_json = fixture::run_json("exact").replace(r#""softmax_cross_entropy""#, soft);
        let mut computer = Computer::new(&run_json).unwrap();
        computer.set_params(&[0.1; fixture::PARAMETERS]);
        let inputs = inputs();
        let targets = [0.5, 0.25, 0.25, 0.0, 1.0, 0.0, 0.125, 0.125, 0.75];
        let mut sums = |from: usize, sizes: &[u32]| {
            let end = from + sizes.iter().sum::<u32>() as usize;
            let samples = TaskSamples {
                inputs: &inputs[from * FEATURES..end * FEATURES],
                labels: &[],
                soft_targets: &targets[from * 3..end * 3],
                sizes,
                parts: &[TaskPart {
                    batch: 0,
                    first: 0,
                    count: u32::try_from(sizes.len()).unwrap(),
                }],
                inner: None,
            };
            computer.compute(samples, &[16, 16]).unwrap();
            match computer.sums() {
                Sums::Exact(sums) => sums.sums().to_vec(),
                Sums::F32(_) => vec![],
            }
        };
        let (whole, head, tail) = (sums(0, &[2, 1]), sums(0, &[2]), sums(2, &[1]));
        let parts: Vec<i32> = head.iter().zip(&tail).map(|(a, b)| a + b).collect();
        assert_eq!(whole, parts);
        assert_ne!(head, tail);
        let none = TaskSamples {
            soft_targets: &[],
            ..task(&inputs)
        };
        let few = Fault::Failed("The task has too few samples.".to_owned());
        assert_eq!(computer.compute(none, &[16, 16]), Err(few));
    }

    #[test]
    fn a_task_begins_with_empty_sums() {
        let inputs = inputs();
        let mut computer = computer("exact");
        let sums = |computer: &Computer| match computer.sums() {
            Sums::Exact(sums) => sums.sums().to_vec(),
            Sums::F32(_) => vec![],
        };
        computer.compute(task(&inputs), &[20, 20]).unwrap();
        let first = sums(&computer);
        computer.compute(task(&inputs), &[20, 20]).unwrap();
        assert_eq!(sums(&computer), first);
    }

    #[test]
    fn an_overflow_names_exponents_that_fit_every_micro_batch() {
        let inputs = inputs();
        let mut computer = computer("exact");
        let Err(Fault::Overflow(fits)) = computer.compute(task(&inputs), &[100, 100]) else {
            panic!("2^100 fits no gradient");
        };
        assert!(computer.compute(task(&inputs), &fits).is_ok());
        let larger: Vec<i8> = fits.iter().map(|fit| fit + 1).collect();
        assert_eq!(
            computer.compute(task(&inputs), &larger),
            Err(Fault::Overflow(fits))
        );
    }

    #[test]
    fn faults_are_sentences() {
        let inputs = inputs();
        let mut computer = computer("exact");
        let short = computer.compute(task(&inputs[1..]), &[20, 20]);
        assert_eq!(
            short,
            Err(Fault::Failed("The task has too few samples.".to_owned()))
        );
        computer.set_params(&[f32::NAN; fixture::PARAMETERS]);
        let Err(Fault::Failed(message)) = computer.compute(task(&inputs), &[20, 20]) else {
            panic!("the parameters are not finite");
        };
        assert!(
            message.starts_with("The parameters are of no use:"),
            "{message}"
        );
        assert!(
            Computer::new("{")
                .unwrap_err()
                .starts_with("The run can't be read:")
        );
    }
}
