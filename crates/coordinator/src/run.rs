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
use crate::limits::{MAX_CREDITED_IDENTITIES, SNAPSHOT_RETRY_MS, SPEED_WINDOW_STEPS};
use crate::phase::RunPhase;
use crate::run_state::RunState;
use crate::step::Step;

/// Loss sums are counted in units of 2^-20 nats.
const LOSS_UNIT: f64 = 1_048_576.0;

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
    pub(crate) phase: RunPhase,
    /// Why it is in its phase, where that was not an operator's command.
    pub(crate) reason: Option<String>,
    pub(crate) version: ParamVersion,
    pub(crate) params_digest: Digest,
    pub(crate) exponents: Exponents,
    pub(crate) step: Step,
    /// The step is complete and being applied.
    pub(crate) applying: bool,
    pub(crate) leases: BTreeMap<LeaseId, LeaseEntry>,
    pub(crate) samples_committed: u64,
    pub(crate) train_loss: Option<f64>,
    /// Samples by identity in committed steps.
    earned: BTreeMap<Digest, u64>,
    /// The same, as of the newest durable snapshot: what is credited.
    durable: BTreeMap<Digest, u64>,
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
    version: ParamVersion,
    cause: SnapshotCause,
    earned: BTreeMap<Digest, u64>,
}

impl HostedRun {
    pub(crate) fn new(new: NewRun) -> Self {
        let NewRun {
            run_id,
            run,
            dataset,
            samples,
            state,
            params_digest,
        } = new;
        let plan = BatchPlan::new(&run, samples);
        let exponents = Exponents::restore(state.exponents, state.exponent_rises)
            .expect("the edge has checked the stored state");
        let credits: BTreeMap<Digest, u64> = state.credits.into_iter().collect();
        let mut hosted = Self {
            id: run_id,
            run_json: run.to_json(),
            label_rows: run.graph().label_rows() as u64,
            spec: run,
            dataset,
            plan,
            phase: state.phase,
            reason: None,
            version: state.version,
            params_digest,
            exponents,
            step: Step::new(plan.step(state.version.0)),
            applying: false,
            leases: BTreeMap::new(),
            samples_committed: state.samples_committed,
            train_loss: None,
            durable: credits.clone(),
            earned: credits,
            snapshot: SnapshotProgress::default(),
            recent_commits: VecDeque::new(),
        };
        if hosted.version.0 >= hosted.plan.steps_total() {
            hosted.phase = RunPhase::Finished;
        }
        hosted
    }

    /// Whether workers get leases now.
    pub(crate) fn hands_out(&self) -> bool {
        self.phase == RunPhase::Running && !self.applying && self.step.n_free() > 0
    }

    /// What a worker without a lease is told.
    pub(crate) fn idle_reason(&self) -> IdleReason {
        match self.phase {
            RunPhase::Created | RunPhase::Paused => IdleReason::RunPaused,
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
            version: ParamVersion(self.version.0 + 1),
            exponents: self.exponents.current().to_vec(),
            samples: u64::from(self.step.shape.samples),
            rate_factor: self.spec.schedule.factor(self.version.0, steps_total),
        }
    }

    /// The step was applied: moves on to the next one.
    pub(crate) fn commit(&mut self, now: Timestamp, report: &StepReport) {
        self.applying = false;
        self.version = ParamVersion(self.version.0 + 1);
        self.params_digest = report.digest;
        self.exponents
            .commit(&report.max_abs_sums, self.step.shape.micro_batches);
        self.samples_committed += self.step.samples;
        self.train_loss =
            Some(self.step.loss_q20 as f64 / LOSS_UNIT / self.step.samples.max(1) as f64);
        for (identity, samples) in std::mem::take(&mut self.step.contributions) {
            let known =
                self.earned.len() < MAX_CREDITED_IDENTITIES || self.earned.contains_key(&identity);
            if known {
                *self.earned.entry(identity).or_default() += samples;
            }
        }
        self.recent_commits.push_back((now, self.step.samples));
        while self.recent_commits.len() > SPEED_WINDOW_STEPS {
            self.recent_commits.pop_front();
        }
        if self.version.0 >= self.plan.steps_total() {
            self.phase = RunPhase::Finished;
        } else {
            self.step = Step::new(self.plan.step(self.version.0));
        }
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
                version: self.version,
                cause,
                earned: self.earned.clone(),
            });
            effects.push(Effect::TakeSnapshot {
                run_id: self.id,
                cause,
                state: self.state(),
            });
        }
    }

    /// A snapshot is written or has failed; true if credits have become durable.
    pub(crate) fn end_snapshot(
        &mut self,
        now: Timestamp,
        version: ParamVersion,
        durable: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let in_flight = self.snapshot.in_flight.take_if(|s| s.version == version);
        let Some(SnapshotInFlight { cause, earned, .. }) = in_flight else {
            return false;
        };
        if durable {
            self.durable = earned;
        } else {
            self.snapshot.wanted.get_or_insert(cause);
            self.snapshot.not_before = now + SNAPSHOT_RETRY_MS;
        }
        self.begin_snapshot(now, effects);
        durable
    }

    /// Durable samples of an identity.
    pub(crate) fn credited(&self, identity: Digest) -> u64 {
        self.durable.get(&identity).copied().unwrap_or(0)
    }

    fn state(&self) -> RunState {
        RunState {
            sequence: 0,
            samples_verified: self.samples_committed,
            version: self.version,
            phase: self.phase,
            samples_committed: self.samples_committed,
            exponents: self.exponents.current().to_vec(),
            exponent_rises: self.exponents.rises().to_vec(),
            credits: self
                .earned
                .iter()
                .map(|(id, samples)| (*id, *samples))
                .collect(),
        }
    }

    /// Samples committed per second over the last steps.
    pub(crate) fn samples_per_s(&self, now: Timestamp) -> f64 {
        let Some((first, _)) = self
            .recent_commits
            .front()
            .filter(|_| self.phase == RunPhase::Running)
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
