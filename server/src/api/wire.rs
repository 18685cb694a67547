//! The JSON forms of the public interface.

use serde::Serialize;
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::DataFormat;
use tabswarm_store::SnapshotInfo;
use utoipa::ToSchema;

use crate::history::{EvalPoint, StepPoint};
use crate::view::RunView;

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, which the page reads by name"
)]
pub(crate) struct RunStatusJson {
    name: String,
    title: String,
    description: String,
    owner: String,
    /// `https://…`, or empty.
    link: String,
    /// Whether the operator lets everybody download the model.
    download: bool,
    phase: &'static str,
    version: u64,
    steps_total: u64,
    /// The epoch in progress, from 1.
    epoch: u64,
    epochs: u32,
    samples_committed: u64,
    samples_per_s: f64,
    train_loss: Option<f64>,
    eval: Option<EvalPoint>,
    workers: usize,
    lanes: usize,
    parameters: usize,
    #[schema(value_type = String)]
    params_digest: Digest,
    #[schema(value_type = String)]
    dataset: Digest,
    classes: usize,
    input_shape: Vec<usize>,
    /// Whether the samples are text: then the manifest of the data set has the characters.
    text: bool,
    /// Whether there are examples of the test set.
    examples: bool,
    eta_s: Option<f64>,
    micro_batch: u32,
    global_batch: u32,
    reproducible: bool,
    /// The server can't store what is done: nothing is acknowledged until it can.
    degraded: bool,
}

impl RunStatusJson {
    /// The form of a view.
    pub(crate) fn new(view: &RunView) -> Self {
        let (run, status) = (&view.facts.run, &view.status);
        let version = status.version.0;
        let plan = &view.facts.plan;
        let epoch = plan.progress(version) / u64::from(plan.batches().steps_per_epoch()) + 1;
        // The curve's last point where no step was committed since the server started.
        let restored_loss = || view.history.steps().last().map(|point| point.train_loss);
        Self {
            name: run.name.clone(),
            title: run.title.clone(),
            description: run.description.clone(),
            owner: run.about.owner.clone(),
            link: run.about.link.clone(),
            download: run.about.download,
            phase: status.phase.as_str(),
            version,
            steps_total: status.steps_total,
            epoch: epoch.min(u64::from(run.epochs)),
            epochs: run.epochs,
            samples_committed: status.samples_committed,
            samples_per_s: status.samples_per_s,
            train_loss: status.train_loss.or_else(restored_loss),
            eval: view.history.evals().last().copied(),
            workers: status.workers,
            lanes: status.lanes,
            parameters: view.facts.parameters,
            params_digest: status.params_digest,
            dataset: view.facts.dataset,
            classes: view.facts.classes,
            input_shape: run.model.input.clone(),
            text: matches!(run.data.format, DataFormat::Text(_)),
            examples: view.facts.examples.is_some(),
            eta_s: eta_s(view),
            micro_batch: run.micro_batch,
            global_batch: run.global_batch,
            reproducible: run.reproducible,
            degraded: status.degraded.is_some(),
        }
    }
}

fn eta_s(view: &RunView) -> Option<f64> {
    let status = &view.status;
    let rate = status.samples_per_s;
    if rate <= 0.0 || status.version.0 == 0 {
        return None;
    }
    let plan = &view.facts.plan;
    let batches = plan.progress(status.version.0);
    let left = plan.batches().steps_total().saturating_sub(batches);
    let samples_per_batch = status.samples_committed as f64 / batches.max(1) as f64;
    Some(left as f64 * samples_per_batch / rate)
}

/// Loss curve and evaluations.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryJson<'a> {
    steps: &'a [StepPoint],
    evals: &'a [EvalPoint],
}

impl<'a> HistoryJson<'a> {
    /// What is later than a version.
    pub(crate) fn after(view: &'a RunView, version: u64) -> Self {
        let (steps, evals) = (view.history.steps(), view.history.evals());
        Self {
            steps: &steps[steps.partition_point(|point| point.version <= version)..],
            evals: &evals[evals.partition_point(|eval| eval.version <= version)..],
        }
    }
}

/// A snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotJson {
    version: u64,
    params_digest: Digest,
    bytes: u64,
    eval_accuracy: Option<f64>,
}

impl SnapshotJson {
    /// The form of a snapshot of a run.
    pub(crate) fn new(info: &SnapshotInfo, view: &RunView) -> Self {
        Self {
            version: info.id.version,
            params_digest: info.params_digest,
            bytes: info.bytes,
            eval_accuracy: view
                .history
                .eval_of(info.id.version)
                .map(|eval| eval.accuracy),
        }
    }
}
