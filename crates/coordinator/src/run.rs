//! One run: its step in progress, its leases, its credits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::master::StepReport;
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::server::{IdleReason, RunAssignment};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, Timestamp};

use crate::effect::{Effect, SnapshotCause};
use crate::input::NewRun;
use crate::lease::LeaseEntry;
use crate::limits::{
    MAX_UNDURABLE_STEPS, MIN_UNDURABLE_STEPS, SNAPSHOT_RETRY_MS, SPEED_WINDOW_STEPS,
    UNDURABLE_BYTES,
};
use crate::log_entry::{Change, LogEntry, StepChange};
use crate::phase::RunPhase;
use crate::run_state::RunState;
use crate::step::Step;
use crate::undurable::{Consequences, Owed, Undurable};

/// Mean loss in nats of a sum in units of 2^-20 nats.
pub fn mean_loss(loss_q20: i64, samples: u64) -> f64 {
    loss_q20 as f64 / 1_048_576.0 / samples.max(1) as f64
}

/// A hosted run.
#[derive(Debug)]
pub(crate) struct HostedRun {
    pub(crate) id: RunId,
    pub(crate) spec: Arc<Run>,
    pub(crate) run_json: String,
    pub(crate) dataset: Digest,
    pub(crate) plan: BatchPlan,
    /// Labels of a sample.
    pub(crate) label_rows: u64,
    /// Where it is; changed by log entries only. Its exponents are those of the last commit.
    state: RunState,
    /// Why it is in its phase, where that was not an operator's command.
    pub(crate) reason: Option<String>,
    pub(crate) params_digest: Digest,
    /// The exponents of the step in progress.
    pub(crate) exponents: Exponents,
    pub(crate) step: Step,
    /// The step is complete and being applied.
    pub(crate) applying: bool,
    pub(crate) leases: BTreeMap<LeaseId, LeaseEntry>,
    pub(crate) train_loss: Option<f64>,
    /// Committed and not yet on stable storage.
    pub(crate) undurable: Undurable,
    /// So many committed steps may wait for the disk.
    undurable_limit: usize,
    /// Why the log can't be written, while it can't.
    pub(crate) degraded: Option<String>,
    snapshot: SnapshotProgress,
    recent_commits: VecDeque<(Timestamp, u64)>,
}

/// At most one snapshot is being written; a further wish waits for it.
#[derive(Debug, Default)]
struct SnapshotProgress {
    in_flight: Option<SnapshotInFlight>,
    wanted: Option<SnapshotCause>,
    /// After a failure nothing is tried before it: a full disk does not empty at once.
    not_before: Timestamp,
}

#[derive(Debug)]
struct SnapshotInFlight {
    sequence: u64,
    cause: SnapshotCause,
}

impl HostedRun {
    pub(crate) fn new(new: NewRun) -> Self {
        let NewRun {
            run_id,
            run,
            dataset,
            samples,
            mut state,
            params_digest,
        } = new;
        let plan = BatchPlan::new(&run, samples);
        if state.version.0 >= plan.steps_total() {
            state.phase = RunPhase::Finished;
        }
        let graph = run.graph();
        let step_bytes = size_of::<i64>() * graph.layout.len().max(1);
        let undurable_limit =
            (UNDURABLE_BYTES / step_bytes).clamp(MIN_UNDURABLE_STEPS, MAX_UNDURABLE_STEPS);
        Self {
            id: run_id,
            run_json: run.to_json(),
            label_rows: graph.label_rows() as u64,
            spec: run,
            dataset,
            plan,
            reason: None,
            params_digest,
            exponents: exponents_of(&state),
            step: Step::new(plan.step(state.version.0)),
            state,
            applying: false,
            leases: BTreeMap::new(),
            train_loss: None,
            undurable: Undurable::default(),
            undurable_limit,
            degraded: None,
            snapshot: SnapshotProgress::default(),
            recent_commits: VecDeque::new(),
        }
    }

    /// Its phase.
    pub(crate) fn phase(&self) -> RunPhase {
        self.state.phase
    }

    /// Steps committed.
    pub(crate) fn version(&self) -> ParamVersion {
        self.state.version
    }

    /// Samples in them.
    pub(crate) fn samples_committed(&self) -> u64 {
        self.state.samples_committed
    }

    /// Whether the edge may put another state in this one's place.
    pub(crate) fn may_be_replaced(&self) -> bool {
        let rests = !matches!(self.phase(), RunPhase::Running) && !self.applying;
        rests && self.undurable.is_empty() && self.snapshot.in_flight.is_none()
    }

    /// Puts a state in place that the edge has stored. Gives the workers whose updates are void now.
    pub(crate) fn replace(&mut self, state: RunState, params_digest: Digest) -> Vec<Owed> {
        self.exponents = exponents_of(&state);
        self.params_digest = params_digest;
        self.train_loss = None;
        self.reason = None;
        self.recent_commits.clear();
        self.snapshot = SnapshotProgress::default();
        let discarded =
            std::mem::replace(&mut self.step, Step::new(self.plan.step(state.version.0)));
        self.state = state;
        discarded.owed
    }

    /// Applies a change and gives it to the log.
    fn record(&mut self, change: Change, effects: &mut Vec<Effect>) -> u64 {
        let sequence = self.state.sequence + 1;
        let entry = LogEntry { sequence, change };
        self.state
            .apply(&entry)
            .expect("the entry was made from this state");
        effects.push(Effect::Append {
            run_id: self.id,
            entry: Box::new(entry),
        });
        sequence
    }

    /// Moves to another phase.
    pub(crate) fn enter(
        &mut self,
        phase: RunPhase,
        reason: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        self.reason.clone_from(&reason);
        let sequence = self.record(Change::Phase { phase, reason }, effects);
        self.undurable.push(sequence);
    }

    /// Whether the disk is so far behind that the run has to wait for it.
    pub(crate) fn waits_for_disk(&self) -> bool {
        self.undurable.steps() >= self.undurable_limit
    }

    /// Whether workers get leases now.
    pub(crate) fn hands_out(&self) -> bool {
        self.phase() == RunPhase::Running
            && !self.applying
            && self.step.n_free() > 0
            && !self.waits_for_disk()
    }

    /// What a worker without a lease is told.
    pub(crate) fn idle_reason(&self) -> IdleReason {
        match self.phase() {
            RunPhase::Created | RunPhase::Paused => IdleReason::RunPaused,
            RunPhase::Running if self.waits_for_disk() => IdleReason::ServerStorage,
            RunPhase::Running => IdleReason::StepTail,
            RunPhase::Finished => IdleReason::RunFinished,
            RunPhase::Stopped => IdleReason::RunStopped,
        }
    }

    /// The exponents of leases: none where updates are not fixed point.
    pub(crate) fn lease_exponents(&self) -> Vec<i8> {
        match self.spec.codec {
            Codec::Exact => self.exponents.current().to_vec(),
            Codec::F32 => Vec::new(),
        }
    }

    /// What a worker must load.
    pub(crate) fn assignment(&self) -> RunAssignment {
        RunAssignment {
            run_id: self.id,
            run_json: self.run_json.clone(),
            dataset: self.dataset.0,
        }
    }

    /// The complete step as an effect.
    pub(crate) fn apply(&mut self) -> Effect {
        self.applying = true;
        let steps_total = self.plan.steps_total();
        Effect::ApplyStep {
            run_id: self.id,
            version: ParamVersion(self.version().0 + 1),
            exponents: self.exponents.current().to_vec(),
            samples: u64::from(self.step.shape.samples),
            rate_factor: self.spec.schedule.factor(self.version().0, steps_total),
        }
    }

    /// The step was applied: moves on to the next one.
    pub(crate) fn commit(
        &mut self,
        now: Timestamp,
        report: &StepReport,
        effects: &mut Vec<Effect>,
    ) {
        self.applying = false;
        self.params_digest = report.digest;
        let used = self.lease_exponents();
        let micro_batches = self.step.shape.micro_batches;
        self.exponents.commit(&report.max_abs_sums, micro_batches);
        let step = &mut self.step;
        let (samples, loss_q20) = (step.samples, step.loss_q20);
        let credits: Vec<(Digest, u64)> = std::mem::take(&mut step.contributions)
            .into_iter()
            .collect();
        let consequences = Consequences {
            owed: std::mem::take(&mut step.owed),
            credits: credits.clone(),
        };
        let (version, steps_total) = (self.version(), self.plan.steps_total());
        let change = StepChange {
            version: ParamVersion(version.0 + 1),
            samples,
            loss_q20,
            exponents: used,
            rate_factor: self.spec.schedule.factor(version.0, steps_total),
            digest: report.digest,
            next_exponents: self.exponents.current().to_vec(),
            next_rises: self.exponents.rises().to_vec(),
            credits,
        };
        let sequence = self.record(Change::Step(change), effects);
        self.undurable.push_step(sequence, consequences);
        self.train_loss = Some(mean_loss(loss_q20, samples));
        self.recent_commits.push_back((now, samples));
        while self.recent_commits.len() > SPEED_WINDOW_STEPS {
            self.recent_commits.pop_front();
        }
        if self.version().0 < steps_total {
            self.step = Step::new(self.plan.step(self.version().0));
        }
    }

    /// Whether all steps are committed.
    pub(crate) fn is_over(&self) -> bool {
        self.version().0 >= self.plan.steps_total()
    }

    /// Asks for a snapshot, now or when the one under way is written.
    pub(crate) fn want_snapshot(
        &mut self,
        now: Timestamp,
        cause: SnapshotCause,
        effects: &mut Vec<Effect>,
    ) {
        self.snapshot.wanted = Some(cause);
        self.begin_snapshot(now, effects);
    }

    /// Begins a snapshot that is wanted, if it can be begun now.
    pub(crate) fn begin_snapshot(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.applying || self.snapshot.in_flight.is_some() || now < self.snapshot.not_before {
            return;
        }
        if let Some(cause) = self.snapshot.wanted.take() {
            self.snapshot.in_flight = Some(SnapshotInFlight {
                sequence: self.state.sequence,
                cause,
            });
            effects.push(Effect::TakeSnapshot {
                run_id: self.id,
                cause,
                state: self.state.clone(),
            });
        }
    }

    /// A snapshot is written or has failed; false if it is not the one under way.
    pub(crate) fn end_snapshot(
        &mut self,
        now: Timestamp,
        sequence: u64,
        durable: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let in_flight = self.snapshot.in_flight.take_if(|s| s.sequence == sequence);
        let Some(SnapshotInFlight { cause, .. }) = in_flight else {
            return false;
        };
        if !durable {
            self.snapshot.wanted.get_or_insert(cause);
            self.snapshot.not_before = now + SNAPSHOT_RETRY_MS;
        }
        self.begin_snapshot(now, effects);
        true
    }

    /// Durable samples of an identity.
    pub(crate) fn credited(&self, identity: Digest) -> u64 {
        let earned = self.state.credit_of(identity);
        earned.saturating_sub(self.undurable.samples_of(identity))
    }

    /// Whether an update of this lease counts already, and its worker waits for the answer.
    pub(crate) fn owes(&self, lease_id: LeaseId) -> bool {
        let mut owed = self.step.owed.iter();
        owed.any(|owed| owed.lease_id == lease_id) || self.undurable.owes(lease_id)
    }

    /// Samples committed per second over the last steps.
    pub(crate) fn samples_per_s(&self, now: Timestamp) -> f64 {
        let Some((first, _)) = self
            .recent_commits
            .front()
            .filter(|_| self.phase() == RunPhase::Running)
        else {
            return 0.0;
        };
        let samples: u64 = self
            .recent_commits
            .iter()
            .skip(1)
            .map(|(_, samples)| samples)
            .sum();
        samples as f64 * 1_000.0 / now.since_ms(*first).max(1) as f64
    }
}

fn exponents_of(state: &RunState) -> Exponents {
    Exponents::restore(state.exponents.clone(), state.exponent_rises.clone())
        .expect("the edge has checked the stored state")
}
