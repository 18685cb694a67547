//! One run: what is to be done for it, who does it, where it stands.

mod snapshots;
mod units;
mod versions;

use std::collections::VecDeque;
use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::loss_scale;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::{Codec, Precision};
use tabswarm_protocol::server::{IdleReason, RunAssignment};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, Timestamp};

use crate::effect::Effect;
use crate::input::NewRun;
use crate::lease::Leases;
use crate::limits::{MAX_UNDURABLE_STEPS, MIN_UNDURABLE_STEPS, UNDURABLE_BYTES};
use crate::log_entry::{Change, LogEntry};
use crate::phase::RunPhase;
use crate::run_state::RunState;
use crate::status::{Staleness, WorkStatus};
use crate::undurable::{Owed, Undurable};
use snapshots::SnapshotProgress;
pub(crate) use units::Work;
use versions::Applying;
pub use versions::mean_loss;

/// A hosted run.
#[derive(Debug)]
pub(crate) struct HostedRun {
    pub(crate) id: RunId,
    pub(crate) spec: Arc<Run>,
    pub(crate) run_json: String,
    pub(crate) dataset: Digest,
    pub(crate) plan: RoundPlan,
    /// Samples of the training set.
    samples: u32,
    /// Labels of a sample.
    pub(crate) label_rows: u64,
    /// Where it is; changed by log entries only. Its exponents are those of the last commit.
    state: RunState,
    /// Why it is in its phase, where that was not an operator's command.
    pub(crate) reason: Option<String>,
    pub(crate) params_digest: Digest,
    /// The exponents of leases from now on.
    pub(crate) exponents: Exponents,
    pub(crate) work: Work,
    /// A change of the parameters on its way through the edge.
    applying: Option<Applying>,
    pub(crate) leases: Leases,
    pub(crate) train_loss: Option<f64>,
    /// Committed and not yet on stable storage.
    pub(crate) undurable: Undurable,
    /// So many committed steps may wait for the disk.
    undurable_limit: usize,
    /// Why the log can't be written, while it can't.
    pub(crate) degraded: Option<String>,
    snapshot: SnapshotProgress,
    recent_commits: VecDeque<(Timestamp, u64)>,
    /// Of accepted updates.
    pub(crate) stalenesses: Staleness,
    /// Updates that were rejected as too old.
    pub(crate) too_stale: u64,
    /// Steps skipped, and batches of a stream that were computed again, for a gradient too large in half precision.
    pub(crate) loss_overflows: u64,
    /// Time that lanes worked for it, in ms, divided by its weight: whose is least is next.
    pub(crate) served_ms: f64,
}

impl HostedRun {
    pub(crate) fn new(now: Timestamp, new: NewRun) -> Self {
        let NewRun {
            run_id,
            run,
            dataset,
            samples,
            mut state,
            params_digest,
        } = new;
        let plan = RoundPlan::new(&run, samples);
        if state.version.0 >= plan.versions_total() {
            state.phase = RunPhase::Finished;
        }
        let graph = run.graph();
        let step_bytes = size_of::<i64>() * graph.layout.len().max(1);
        let undurable_limit =
            (UNDURABLE_BYTES / step_bytes).clamp(MIN_UNDURABLE_STEPS, MAX_UNDURABLE_STEPS);
        Self {
            id: run_id,
            run_json: run.to_worker_json(),
            label_rows: graph.label_rows() as u64,
            dataset,
            samples,
            reason: None,
            params_digest,
            exponents: exponents_of(&state),
            work: Work::after(&plan, run.mode, &state, now),
            plan,
            spec: run,
            state,
            applying: None,
            leases: Leases::default(),
            train_loss: None,
            undurable: Undurable::default(),
            undurable_limit,
            degraded: None,
            snapshot: SnapshotProgress::default(),
            recent_commits: VecDeque::new(),
            stalenesses: Staleness::default(),
            too_stale: 0,
            loss_overflows: 0,
            served_ms: 0.0,
        }
    }

    /// Its phase.
    pub(crate) fn phase(&self) -> RunPhase {
        self.state.phase
    }

    /// Whether it goes on.
    pub(crate) fn is_running(&self) -> bool {
        self.phase() == RunPhase::Running
    }

    /// Versions committed.
    pub(crate) fn version(&self) -> ParamVersion {
        self.state.version
    }

    /// Samples in them.
    pub(crate) fn samples_committed(&self) -> u64 {
        self.state.samples_committed
    }

    /// Whether all versions are committed.
    pub(crate) fn is_over(&self) -> bool {
        self.version().0 >= self.plan.versions_total()
    }

    /// Whether the edge may put another state in this one's place.
    pub(crate) fn may_be_replaced(&self) -> bool {
        let rests = self.phase() != RunPhase::Running && !self.is_applying();
        rests && self.undurable.is_empty() && !self.is_snapshot_under_way()
    }

    /// Puts a state in place that the edge has stored, and the settings that hold in it. Gives the workers whose
    /// updates are void now.
    pub(crate) fn replace(
        &mut self,
        now: Timestamp,
        run: Arc<Run>,
        state: RunState,
        params_digest: Digest,
    ) -> Vec<Owed> {
        self.run_json = run.to_worker_json();
        self.plan = RoundPlan::new(&run, self.samples);
        self.spec = run;
        self.exponents = exponents_of(&state);
        self.params_digest = params_digest;
        self.train_loss = None;
        self.reason = None;
        self.recent_commits.clear();
        self.snapshot = SnapshotProgress::default();
        let fresh = Work::after(&self.plan, self.spec.mode, &state, now);
        self.state = state;
        std::mem::replace(&mut self.work, fresh).into_owed()
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
        self.is_running() && !self.is_applying() && !self.waits_for_disk()
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

    /// The exponents of leases: one a tensor where updates are fixed point, that of the loss's scale in half
    /// precision, else none.
    pub(crate) fn lease_exponents(&self) -> Vec<i8> {
        match (self.spec.codec, self.spec.precision) {
            (Codec::Exact, _) => self.exponents.current().to_vec(),
            (Codec::F32, Precision::Half) => vec![loss_scale::exponent(&self.exponents)],
            (Codec::F32, Precision::Single) => Vec::new(),
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

    /// Durable samples of an identity.
    pub(crate) fn credited(&self, identity: Digest) -> u64 {
        let earned = self.state.credit_of(identity);
        earned.saturating_sub(self.undurable.samples_of(identity))
    }

    /// All durable credits, sorted by identity, and the last entry in them.
    pub(crate) fn durable_credits(&self) -> (u64, Vec<(Digest, u64)>) {
        let first_undurable = self.undurable.first();
        let sequence = first_undurable.map_or(self.state.sequence, |first| first - 1);
        let credits = self.state.credits.iter();
        let credits = credits.map(|&(identity, _)| (identity, self.credited(identity)));
        (
            sequence,
            credits.filter(|(_, samples)| *samples > 0).collect(),
        )
    }

    /// Whether an update of this lease counts already, and its worker waits for the answer.
    pub(crate) fn owes(&self, lease_id: LeaseId) -> bool {
        let in_progress = self.work.owed().iter();
        let mut owed = in_progress.chain(self.applying.iter().flat_map(Applying::owed));
        owed.any(|owed| owed.lease_id == lease_id) || self.undurable.owes(lease_id)
    }

    /// An update of a lease counts: how many versions are there that it did not know?
    pub(crate) fn note_staleness(&mut self, base: ParamVersion) {
        let staleness = self.staleness(base);
        self.stalenesses.note(staleness);
    }

    /// What is being worked on, for operators.
    pub(crate) fn work_status(&self, now: Timestamp) -> WorkStatus {
        WorkStatus {
            version: self.version(),
            round: match &self.work {
                Work::Round(step) => Some(step.status(now)),
                Work::Stream(_) => None,
            },
            applying: self.is_applying(),
            leases: self.leases.iter().map(|lease| lease.status(now)).collect(),
            staleness: self.stalenesses.clone(),
            too_stale: self.too_stale,
            loss_scale_exponent: (self.spec.precision == Precision::Half)
                .then(|| loss_scale::exponent(&self.exponents)),
            loss_overflows: self.loss_overflows,
        }
    }

    /// Samples committed per second over the last versions.
    pub(crate) fn samples_per_s(&self, now: Timestamp) -> f64 {
        let Some((first, _)) = self.recent_commits.front().filter(|_| self.is_running()) else {
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
