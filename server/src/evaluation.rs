//! Evaluations on the test set, on a thread of their own.
//!
//! Each run has at most one evaluation waiting: a newer one replaces it. The last one of a run is the newest
//! of all, so it is always done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tabswarm_compute::{Batch, Engine};
use tabswarm_model::samples::MicroBatch;
use tabswarm_model::{ArithmeticClass, Graph, Run};
use tabswarm_protocol::{ParamVersion, RunId};
use tracing::{info, warn};

use crate::dataset::{TestReader, TestSet};
use crate::history::EvalPoint;

/// Samples of one forward pass: enough to keep the kernels busy.
const MAX_BATCH_SAMPLES: u32 = 256;
/// Large models get smaller batches, so that evaluating takes no more than about this.
const MAX_LANE_BYTES: usize = 256 << 20;
const LOSS_UNIT: f64 = 1_048_576.0;

/// One evaluation to do.
#[derive(Debug)]
pub(crate) struct Job {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// Version of the parameters.
    pub(crate) version: ParamVersion,
    /// The parameters.
    pub(crate) params: Arc<[f32]>,
}

/// What became of an evaluation.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// Loss and accuracy, or why there are none.
    pub(crate) outcome: Result<EvalPoint, String>,
}

/// The thread and its queue.
#[derive(Debug)]
pub(crate) struct Evaluator {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    subjects: BTreeMap<RunId, Arc<Subject>>,
    jobs: BTreeMap<RunId, Job>,
    stopped: bool,
}

#[derive(Debug)]
struct Subject {
    run: Arc<Run>,
    test_set: TestSet,
}

impl Evaluator {
    /// Starts the thread; `report` is called on it.
    pub(crate) fn spawn(report: impl Fn(Evaluated) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("evaluation".to_owned())
            .spawn(move || of_thread.work(&report))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Makes a run known.
    pub(crate) fn add_run(&self, run_id: RunId, run: Arc<Run>, test_set: TestSet) {
        self.shared
            .lock()
            .subjects
            .insert(run_id, Arc::new(Subject { run, test_set }));
    }

    /// Forgets a run.
    pub(crate) fn remove_run(&self, run_id: RunId) {
        let mut queue = self.shared.lock();
        queue.subjects.remove(&run_id);
        queue.jobs.remove(&run_id);
    }

    /// Queues an evaluation.
    pub(crate) fn submit(&self, job: Job) {
        self.shared.lock().jobs.insert(job.run_id, job);
        self.shared.changed.notify_one();
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change of the queue is one insertion or removal: a panic leaves it whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, runs taking turns; none when it is time to stop.
    fn next(&self, last: Option<RunId>) -> Option<(Job, Arc<Subject>)> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            let after = queue.jobs.keys().find(|&&run_id| Some(run_id) > last);
            if let Some(run_id) = after.or(queue.jobs.keys().next()).copied()
                && let Some(job) = queue.jobs.remove(&run_id)
                && let Some(subject) = queue.subjects.get(&run_id)
            {
                return Some((job, Arc::clone(subject)));
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, report: &impl Fn(Evaluated)) {
        let mut lanes: BTreeMap<RunId, Lane> = BTreeMap::new();
        let mut last = None;
        while let Some((job, subject)) = self.next(last) {
            last = Some(job.run_id);
            // Engines of runs that are gone take memory for nothing.
            let hosted: Vec<RunId> = self.lock().subjects.keys().copied().collect();
            lanes.retain(|run_id, _| hosted.contains(run_id));
            let outcome = self.evaluate(&mut lanes, &job, &subject);
            report(Evaluated {
                run_id: job.run_id,
                outcome,
            });
        }
    }

    fn evaluate(
        &self,
        lanes: &mut BTreeMap<RunId, Lane>,
        job: &Job,
        subject: &Subject,
    ) -> Result<EvalPoint, String> {
        let lane = match lanes.entry(job.run_id) {
            Entry::Occupied(lane) => lane.into_mut(),
            Entry::Vacant(place) => place.insert(Lane::new(subject)?),
        };
        lane.evaluate(job, &subject.test_set, || self.lock().stopped)
    }
}

/// An engine with its batch.
struct Lane {
    engine: Engine,
    reader: TestReader,
    batch: MicroBatch,
    batch_samples: u32,
}

impl Lane {
    fn new(subject: &Subject) -> Result<Self, String> {
        let run = &subject.run;
        let graph = Arc::new(run.graph());
        let batch_samples = batch_samples(&graph, run.micro_batch);
        let samples = batch_samples as usize;
        let engine = Engine::new(Arc::clone(&graph), run.class, samples).or_else(|error| {
            // Loss and accuracy are figures for people: the portable class differs in the last bits only.
            info!(run = run.name, %error, "evaluating in the portable class");
            Engine::new(graph, ArithmeticClass::Portable, samples)
        });
        Ok(Self {
            engine: engine.map_err(|error| error.to_string())?,
            reader: subject.test_set.reader(run.data.normalization),
            batch: MicroBatch::default(),
            batch_samples,
        })
    }

    fn evaluate(
        &mut self,
        job: &Job,
        test_set: &TestSet,
        is_stopped: impl Fn() -> bool,
    ) -> Result<EvalPoint, String> {
        self.engine
            .set_params(&job.params)
            .map_err(|error| error.to_string())?;
        let (mut samples, mut loss_q20, mut correct) = (0_u64, 0_i64, 0_u64);
        let mut next = 0;
        while next < test_set.samples() {
            if is_stopped() {
                return Err("the server is going down".to_owned());
            }
            let end = next
                .saturating_add(self.batch_samples)
                .min(test_set.samples());
            self.reader
                .read(test_set, next..end, &mut self.batch)
                .map_err(|error| format!("the test set can't be read: {error}"))?;
            next = end;
            let batch = Batch::of(&self.batch);
            let stats = self
                .engine
                .evaluate(batch)
                .map_err(|error| error.to_string())?;
            samples += u64::from(stats.samples);
            loss_q20 = loss_q20.saturating_add(stats.loss_q20);
            correct += u64::from(stats.correct);
        }
        self.reader.rest();
        let label_rows = self.engine.graph().label_rows() as f64;
        let point = EvalPoint {
            version: job.version.0,
            // A sample's loss is the mean over its labels: for a text in nats per character.
            loss: loss_q20 as f64 / LOSS_UNIT / samples as f64,
            accuracy: correct as f64 / (samples as f64 * label_rows),
        };
        if !point.loss.is_finite() {
            warn!(run_id = %job.run_id, version = %job.version, "evaluation gave no finite loss");
            return Err("the loss is not finite".to_owned());
        }
        Ok(point)
    }
}

fn batch_samples(graph: &Graph, micro_batch: u32) -> u32 {
    let mut samples = MAX_BATCH_SAMPLES;
    // A lane of the run's micro-batch is what every worker has.
    while samples > micro_batch && graph.memory(samples as usize).total() > MAX_LANE_BYTES {
        samples /= 2;
    }
    samples.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ingest;
    use crate::fixture;
    use crate::scratch::Scratch;
    use crate::store::Store;
    use std::sync::mpsc::sync_channel;
    use tabswarm_model::master::Master;

    #[test]
    fn the_newest_job_of_each_run_is_done() {
        let scratch = Scratch::new("evaluation");
        let datasets = scratch.path().join("datasets");
        fixture::write_dataset(&datasets.join("tiny"), 8, 600);
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let run = Arc::new(fixture::run());
        let test_set = ingest(&run, &datasets, &store).unwrap().test_set;
        let (sender, results) = sync_channel(16);
        let evaluator = Evaluator::spawn(move |evaluated| sender.send(evaluated).unwrap()).unwrap();
        for run_id in [RunId(1), RunId(2)] {
            evaluator.add_run(
                run_id,
                run.clone(),
                TestSet::load(&store, test_set).unwrap(),
            );
        }
        let params = Master::new(&run).params().clone();
        for version in 1..=50 {
            for run_id in [RunId(1), RunId(2)] {
                evaluator.submit(Job {
                    run_id,
                    version: ParamVersion(version),
                    params: params.clone(),
                });
            }
        }
        let mut last = BTreeMap::new();
        while last.len() < 2 || last.values().any(|point: &EvalPoint| point.version < 50) {
            let evaluated = results.recv().unwrap();
            last.insert(evaluated.run_id, evaluated.outcome.unwrap());
        }
        assert_eq!(last[&RunId(1)], last[&RunId(2)]);
        assert!((0.0..=1.0).contains(&last[&RunId(1)].accuracy));
    }
}
