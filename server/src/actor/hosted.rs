//! The coordinator's runs as this side holds them: master parameters, history, encoded frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tabswarm_coordinator::{NewRun, Payload, RunPhase, RunState, StepOutcome};
use tabswarm_model::digest::Digest;
use tabswarm_model::master::{AppliedSums, Master, StepInput};
use tabswarm_model::run_file::{Codec, StepLog};
use tabswarm_protocol::server::ParamsHeader;
use tabswarm_protocol::{ParamVersion, ServerMessage, encode_frames};
use tabswarm_store::{Log, RecoveryReport, Snapshot, SnapshotInfo};

use super::outbox::{EdgeRun, Traffic};
use crate::dataset::TestSet;
use crate::history::{EvalPoint, History};
use crate::ledger::unix_ms;
use crate::limits::{RECENT_PARAMS, RECENT_PARAMS_BYTES};
use crate::log_writer::SpareSums;
use crate::params::bytes_of;
use crate::snapshot_writer::SnapshotJob;
use crate::tensorboard;
use crate::view::{RecentParams, RunFacts};

/// A run that is ready to be hosted.
#[derive(Debug)]
pub(crate) struct PreparedRun {
    /// For the coordinator.
    pub(crate) new_run: NewRun,
    /// Parameters and optimizer at the state's version.
    pub(crate) master: Master,
    /// What changes only with its settings.
    pub(crate) facts: Arc<RunFacts>,
    /// Its log, open behind the state.
    pub(crate) log: Log,
    /// For evaluations.
    pub(crate) test_set: TestSet,
    /// Loss curve up to the state's version.
    pub(crate) history: History,
    /// Snapshots on disk, newest first.
    pub(crate) snapshots: Vec<SnapshotInfo>,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// What was found on the disk.
    pub(crate) report: RecoveryReport,
}

/// Where a run comes from that is hosted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was just made from a run file.
    Created,
    /// It was stored before the server started.
    Restored,
    /// It was just begun at a version of another run.
    Forked {
        /// The other run's name.
        of: String,
        /// Its version.
        at: ParamVersion,
    },
}

/// A hosted run.
#[derive(Debug)]
pub(crate) struct HostedRun {
    pub(crate) facts: Arc<RunFacts>,
    pub(crate) history: Arc<History>,
    pub(crate) snapshots: Arc<[SnapshotInfo]>,
    /// A snapshot whose last entry is not durable in the log yet.
    pub(crate) waiting_snapshot: Option<Box<SnapshotJob>>,
    /// The phase that the ledger knows of.
    pub(crate) phase_noted: RunPhase,
    /// Somebody else works on its files.
    pub(crate) is_detached: bool,
    /// The last log entry that is durable.
    pub(crate) durable: u64,
    /// Counted by the sockets of its workers.
    pub(crate) traffic: Arc<Traffic>,
    master: Master,
    digest: Digest,
    /// `f32` updates of the step in progress by their first micro-batch: the order in which they are added.
    f32_updates: BTreeMap<u32, Vec<f32>>,
    /// The newest version's parameters as frames.
    frames: Option<(ParamVersion, Arc<[Bytes]>)>,
    recent: VecDeque<RecentParams>,
}

impl HostedRun {
    /// The run without what the coordinator and the evaluation take.
    pub(crate) fn new(
        facts: Arc<RunFacts>,
        master: Master,
        digest: Digest,
        history: History,
        snapshots: Vec<SnapshotInfo>,
        durable: u64,
    ) -> Self {
        Self {
            facts,
            history: Arc::new(history),
            snapshots: snapshots.into(),
            waiting_snapshot: None,
            phase_noted: RunPhase::Created,
            is_detached: false,
            durable,
            traffic: Arc::default(),
            master,
            digest,
            f32_updates: BTreeMap::new(),
            frames: None,
            recent: VecDeque::new(),
        }
    }

    /// Takes over what the run's files say after work on them.
    pub(crate) fn replace(
        &mut self,
        facts: Arc<RunFacts>,
        master: Master,
        digest: Digest,
        history: History,
        snapshots: Vec<SnapshotInfo>,
        durable: u64,
    ) {
        self.facts = facts;
        self.master = master;
        self.digest = digest;
        self.history = Arc::new(history);
        self.snapshots = snapshots.into();
        self.durable = durable;
        self.f32_updates.clear();
        self.frames = None;
        self.is_detached = false;
    }

    /// How sockets decode updates of this run.
    pub(crate) fn edge(&self) -> EdgeRun {
        EdgeRun {
            codec: self.facts.run.codec,
            parameters: self.facts.parameters,
        }
    }

    /// The current parameters.
    pub(crate) fn params(&self) -> &Arc<[f32]> {
        self.master.params()
    }

    /// Adds an update; false if there is one of the same place already, which is then kept.
    pub(crate) fn accumulate(&mut self, first: u32, payload: Payload) -> bool {
        match payload {
            Payload::Exact(values) => {
                self.master.accumulate(&values);
                true
            }
            Payload::F32(values) => {
                let is_new = !self.f32_updates.contains_key(&first);
                self.f32_updates.entry(first).or_insert(values);
                is_new
            }
        }
    }

    /// Forgets the step in progress.
    pub(crate) fn reset(&mut self) {
        self.master.reset();
        self.f32_updates.clear();
    }

    /// Applies the step in progress.
    pub(crate) fn apply(&mut self, input: &StepInput<'_>) -> StepOutcome {
        let outcome = match self.facts.run.codec {
            Codec::Exact => self.master.apply_exact(input),
            Codec::F32 => {
                let updates: Vec<Vec<f32>> = std::mem::take(&mut self.f32_updates)
                    .into_values()
                    .collect();
                self.master.apply_f32(&updates, input)
            }
        };
        if let Ok(report) = &outcome {
            self.digest = report.digest;
        }
        outcome
    }

    /// The sums of the step that was just applied, if the run wants them logged.
    pub(crate) fn sums_for_log(&mut self, spare: &SpareSums) -> Option<AppliedSums> {
        let is_logged = self.facts.run.step_log == StepLog::Updates;
        is_logged.then(|| {
            let other = spare.take(self.master.applied_sums());
            self.master.take_applied_sums(other)
        })
    }

    /// The current parameters as frames, encoded at the first call for a version.
    pub(crate) fn frames(&mut self, version: ParamVersion) -> Arc<[Bytes]> {
        if let Some((of, frames)) = &self.frames
            && *of == version
        {
            return Arc::clone(frames);
        }
        let header = ParamsHeader {
            run_id: self.facts.run_id,
            version,
            digest: self.digest.0,
        };
        let message = ServerMessage::Params(header);
        let frames = encode_frames(&message, &bytes_of(self.master.params()));
        let frames: Arc<[Bytes]> = frames.into_iter().map(Bytes::from).collect();
        self.frames = Some((version, Arc::clone(&frames)));
        frames
    }

    /// A committed step's loss.
    pub(crate) fn committed(&mut self, version: ParamVersion, train_loss: f64) {
        Arc::make_mut(&mut self.history).push_step(version.0, train_loss);
    }

    /// An evaluation's result.
    pub(crate) fn evaluated(&mut self, point: EvalPoint) {
        Arc::make_mut(&mut self.history).push_eval(point);
    }

    /// What makes the event file that goes on at `version`.
    pub(crate) fn event_file(&self, version: ParamVersion) -> tensorboard::Job {
        tensorboard::Job::Open {
            run_id: self.facts.run_id,
            name: self.facts.run.name.clone(),
            version: version.0,
            versions_total: self.facts.plan.versions_total(),
            evaluate_every: self.facts.run.evaluate_every_steps,
            history: Arc::clone(&self.history),
        }
    }

    /// What the snapshot writer needs.
    pub(crate) fn snapshot_job(&self, state: RunState) -> SnapshotJob {
        SnapshotJob {
            run_id: self.facts.run_id,
            store: Arc::clone(&self.facts.store),
            layout: self.master.layout().clone(),
            keep: self.facts.run.snapshots_kept as usize,
            snapshot: Snapshot {
                state,
                params: Arc::clone(self.master.params()),
                params_digest: self.digest,
                optimizer: self.master.optimizer().clone(),
                made_ms: Some(unix_ms()),
            },
            history: Arc::clone(&self.history),
        }
    }

    /// Remembers the current parameters as published and returns all that can still be fetched.
    pub(crate) fn publish(&mut self) -> Vec<RecentParams> {
        if self
            .recent
            .back()
            .is_none_or(|newest| newest.digest != self.digest)
        {
            let params = Arc::clone(self.master.params());
            self.recent.push_back(RecentParams {
                digest: self.digest,
                params,
            });
        }
        let affordable = RECENT_PARAMS_BYTES / (4 * self.facts.parameters).max(1);
        while self.recent.len() > affordable.clamp(1, RECENT_PARAMS) {
            self.recent.pop_front();
        }
        self.recent.iter().cloned().collect()
    }

    /// Digest of the current parameters.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}
