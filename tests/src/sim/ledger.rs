//! What the server has promised, kept apart from the server: every state that the run was in, what became
//! durable, and what workers were told. Compared with what is found after every crash.

use std::collections::{BTreeMap, BTreeSet};

use tabswarm_coordinator::{Change, ConnectionId, InvariantId, LogEntry, RunState, StepChange};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::StepLog;
use tabswarm_protocol::server::Verdict;
use tabswarm_protocol::{LeaseId, ParamVersion, ServerMessage};

use super::fixture::Job;
use super::storage::Found;

/// Entries that recovery adds at most where the log has no updates: the run went back, and runs again.
const MAX_CORRECTIONS: u64 = 2;

/// An invariant that does not hold, and why.
#[derive(Debug)]
pub(super) struct Broken(pub(super) InvariantId, pub(super) String);

/// The accountant.
#[derive(Debug)]
pub(super) struct Ledger {
    step_log: StepLog,
    /// The run after every entry, as entries say.
    states: BTreeMap<u64, RunState>,
    /// The last entry that counts as durable.
    durable: u64,
    /// Version of the newest durable snapshot.
    snapshot_version: u64,
    /// Accepted updates of the step in progress.
    step: Vec<LeaseId>,
    /// The entry of each accepted update.
    entries: BTreeMap<LeaseId, u64>,
    /// The version that each lease given away began with.
    bases: BTreeMap<LeaseId, ParamVersion>,
    /// Updates may be so many versions behind.
    staleness_max: u64,
    /// Every digest that a version ever had.
    digests: BTreeMap<u64, BTreeSet<Digest>>,
    identities: BTreeMap<ConnectionId, Digest>,
    /// Samples of accepted updates that an identity was told of.
    acknowledged: BTreeMap<Digest, BTreeMap<LeaseId, u64>>,
    /// Steps that were skipped, whatever became of them.
    skipped_steps: u64,
}

impl Ledger {
    pub(super) fn new(job: &Job) -> Self {
        let run = &job.run;
        Self {
            step_log: run.step_log,
            states: BTreeMap::from([(0, RunState::fresh(run))]),
            durable: 0,
            snapshot_version: 0,
            step: Vec::new(),
            entries: BTreeMap::new(),
            bases: BTreeMap::new(),
            staleness_max: job.staleness_max(),
            digests: BTreeMap::new(),
            identities: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            skipped_steps: 0,
        }
    }

    /// The version that is there after any crash.
    pub(super) fn safe_version(&self) -> u64 {
        match self.step_log {
            StepLog::Updates => self.states[&self.durable].version.0,
            StepLog::Decisions => self.snapshot_version,
        }
    }

    /// An update counts in the step in progress.
    pub(super) fn counted(&mut self, lease_id: LeaseId) -> Result<(), Broken> {
        self.step.push(lease_id);
        let (_, newest) = self.states.last_key_value().expect("the first is there");
        let base = self.bases.remove(&lease_id);
        let staleness = base.and_then(|base| newest.version.0.checked_sub(base.0));
        if staleness.is_some_and(|staleness| staleness <= self.staleness_max) {
            return Ok(());
        }
        let detail = format!(
            "lease {} of version {base:?} counts at version {}",
            lease_id.0, newest.version
        );
        Err(Broken(InvariantId::StaleBound, detail))
    }

    /// The step in progress begins again.
    pub(super) fn step_is_void(&mut self) {
        self.step.clear();
    }

    /// A skipped step changes no parameter, credits nobody, and halves the scale of the loss.
    fn check_skipped(&mut self, step: &StepChange) -> Result<(), Broken> {
        if step.divisor > 0 {
            return Ok(());
        }
        self.skipped_steps += 1;
        let (_, newest) = self.states.last_key_value().expect("the first is there");
        let before = self.digests.get(&newest.version.0);
        let is_same = before.is_none_or(|digests| digests.contains(&step.digest));
        let smaller = newest.exponents.iter().map(|exponent| exponent - 1);
        let is_halved = smaller.eq(step.next_exponents.iter().copied());
        if is_same && is_halved && step.samples == 0 && step.credits.is_empty() {
            return Ok(());
        }
        let detail = format!("after {newest:?} a step was skipped as {step:?}");
        Err(Broken(InvariantId::Finite, detail))
    }

    /// All workers of a step in half precision scale the loss alike.
    fn check_scale(&self, exponents: &[i8]) -> Result<(), Broken> {
        let (_, newest) = self.states.last_key_value().expect("the first is there");
        let announced = newest.exponents[0];
        match exponents {
            [exponent] if *exponent != announced => {
                let detail = format!("a lease has the scale 2^{exponent}, its step 2^{announced}");
                Err(Broken(InvariantId::Finite, detail))
            }
            _ => Ok(()),
        }
    }

    /// The server gave an entry to its log.
    pub(super) fn appended(&mut self, entry: &LogEntry, is_step: bool) -> Result<(), Broken> {
        if let Change::Step(step) = &entry.change {
            self.check_skipped(step)?;
        }
        let (_, newest) = self.states.last_key_value().expect("the first is there");
        let mut state = newest.clone();
        state.apply(entry).map_err(|error| {
            let detail = format!("the log's next entry does not fit: {error}");
            Broken(InvariantId::VersionPlusOne, detail)
        })?;
        self.states.insert(entry.sequence, state);
        if let Change::Step(step) = &entry.change {
            let digests = self.digests.entry(step.version.0).or_default();
            digests.insert(step.digest);
        }
        if is_step {
            let leases = std::mem::take(&mut self.step).into_iter();
            self.entries
                .extend(leases.map(|lease_id| (lease_id, entry.sequence)));
        }
        Ok(())
    }

    /// The coordinator wants a state stored: it must be the one that its entries lead to.
    pub(super) fn snapshot_wanted(&self, state: &RunState) -> Result<(), Broken> {
        if self.states.get(&state.sequence) == Some(state) {
            return Ok(());
        }
        let detail = format!(
            "entries up to {} lead to {:?}, the coordinator has {state:?}",
            state.sequence,
            self.states.get(&state.sequence)
        );
        Err(Broken(InvariantId::AckDurable, detail))
    }

    /// The log holds everything up to an entry.
    pub(super) fn is_durable(&mut self, sequence: u64) {
        self.durable = self.durable.max(sequence);
    }

    /// A snapshot is in place.
    pub(super) fn snapshot_stored(&mut self, state: &RunState) {
        self.snapshot_version = state.version.0;
    }

    /// The server says something: what it acknowledges or credits must be durable already.
    pub(super) fn said(
        &mut self,
        connection: ConnectionId,
        message: &ServerMessage,
    ) -> Result<(), Broken> {
        match message {
            ServerMessage::Welcome(welcome) => {
                let identity = Digest::of(&welcome.resume_token.0);
                self.identities.insert(connection, identity);
                self.credited(connection, welcome.credited_samples)
            }
            ServerMessage::Lease(lease) => {
                self.bases.insert(lease.lease_id, lease.version);
                self.check_scale(&lease.exponents)
            }
            ServerMessage::Credited { samples } => self.credited(connection, *samples),
            ServerMessage::Receipt {
                lease_id,
                verdict: Verdict::Accepted { samples },
            } => self.accepted(connection, *lease_id, u64::from(*samples)),
            _ => Ok(()),
        }
    }

    /// Credits became durable: they must be what the entries between have credited.
    pub(super) fn piece_credited(
        &self,
        after: u64,
        through: u64,
        credits: &[(Digest, u64)],
    ) -> Result<(), Broken> {
        let broken = |detail| Err(Broken(InvariantId::CreditVerified, detail));
        if after >= through || through > self.durable {
            return broken(format!(
                "entries {after} to {through} are credited, {} are durable",
                self.durable
            ));
        }
        let before = self.states[&after].credits.iter().copied();
        let mut sums: BTreeMap<Digest, u64> = before.collect();
        for (identity, samples) in credits {
            *sums.entry(*identity).or_default() += samples;
        }
        let expected = &self.states[&through].credits;
        if expected.iter().copied().eq(sums) {
            return Ok(());
        }
        broken(format!(
            "the credits of entries {after} to {through} do not lead from one state to the other"
        ))
    }

    fn credited(&self, connection: ConnectionId, samples: u64) -> Result<(), Broken> {
        let identity = self.identity(connection)?;
        let durable = self.states[&self.durable].credit_of(identity);
        if samples <= durable {
            return Ok(());
        }
        let detail = format!("credited {samples} samples of which {durable} are durable");
        Err(Broken(InvariantId::AckDurable, detail))
    }

    fn accepted(
        &mut self,
        connection: ConnectionId,
        lease_id: LeaseId,
        samples: u64,
    ) -> Result<(), Broken> {
        let entry = self.entries.get(&lease_id);
        if entry.is_none_or(|entry| *entry > self.durable) {
            let detail = format!(
                "lease {} was acknowledged; its entry is {entry:?}, durable is {}",
                lease_id.0, self.durable
            );
            return Err(Broken(InvariantId::AckDurable, detail));
        }
        let identity = self.identity(connection)?;
        let leases = self.acknowledged.entry(identity).or_default();
        leases.insert(lease_id, samples);
        Ok(())
    }

    fn identity(&self, connection: ConnectionId) -> Result<Digest, Broken> {
        let known = self.identities.get(&connection).copied();
        let detail = "an answer came before the welcome".to_owned();
        known.ok_or(Broken(InvariantId::AckDurable, detail))
    }

    /// The operator wants a resting run to have other settings; nothing where they can't change so.
    pub(super) fn change_wanted(&mut self, job: &Job, to: &Run) -> Result<(), Broken> {
        let (_, newest) = self.states.last_key_value().expect("the first is there");
        let changes = newest.change_settings(&job.base, to, job.samples());
        let first = newest.sequence + 1;
        for (sequence, change) in (first..).zip(changes.unwrap_or_default()) {
            self.appended(&LogEntry { sequence, change }, false)?;
        }
        Ok(())
    }

    /// A server has read the run's files: nothing that anybody was promised may be missing.
    pub(super) fn recovered(&mut self, found: &Found, job: &Job) -> Result<(), Broken> {
        self.reopened(found, job)?;
        self.step.clear();
        self.entries.clear();
        self.bases.clear();
        self.identities.clear();
        Ok(())
    }

    /// The run's files were read, by a new server or by one that has them again.
    pub(super) fn reopened(&mut self, found: &Found, job: &Job) -> Result<(), Broken> {
        let state = &found.state;
        let broken = |id, detail: String| Err(Broken(id, detail));
        if state.sequence < self.durable {
            let detail = format!(
                "entry {} was durable, {} is found",
                self.durable, state.sequence
            );
            return broken(InvariantId::AckDurable, detail);
        }
        self.check_descent(state)?;
        let version = state.version.0;
        let digest = Digest::of_params(found.master.params());
        // Where there is no reference: it is one that was committed.
        let at = usize::try_from(version).unwrap_or(usize::MAX);
        let is_known = match job.reference.get(at) {
            Some(expected) => *expected == digest,
            None => {
                let committed = self.digests.get(&version);
                committed.map_or(version == 0, |digests| digests.contains(&digest))
            }
        };
        if !is_known {
            let detail = format!("version {version} is recovered as {digest}");
            return broken(InvariantId::Elastic, detail);
        }
        self.check_credits(state, job)?;
        if let Some(alarm) = found.report.alarms.first() {
            return broken(
                InvariantId::AckDurable,
                format!("no bit was flipped: {alarm}"),
            );
        }
        self.states
            .retain(|sequence, _| *sequence <= state.sequence);
        self.states.insert(state.sequence, state.clone());
        self.durable = state.sequence;
        self.snapshot_version = match self.step_log {
            // What is not in a snapshot was given up just now.
            StepLog::Decisions => version,
            StepLog::Updates => self.snapshot_version,
        };
        self.staleness_max = job.staleness_max();
        Ok(())
    }

    /// The state is one that the run was in, but for what recovery adds where the log has no updates.
    fn check_descent(&self, state: &RunState) -> Result<(), Broken> {
        if self.states.get(&state.sequence) == Some(state) {
            return Ok(());
        }
        let oldest = state
            .sequence
            .saturating_sub(MAX_CORRECTIONS)
            .max(self.durable);
        let is_corrected = self.step_log == StepLog::Decisions
            && self
                .states
                .range(oldest..=state.sequence)
                .any(|(_, before)| {
                    before.credits == state.credits
                        && before.samples_verified == state.samples_verified
                        && before.version >= state.version
                });
        if is_corrected {
            return Ok(());
        }
        let detail = format!(
            "after entry {} the run was {:?}, found is {state:?}",
            state.sequence,
            self.states.get(&state.sequence)
        );
        Err(Broken(InvariantId::AckDurable, detail))
    }

    fn check_credits(&self, state: &RunState, job: &Job) -> Result<(), Broken> {
        let broken = |detail| Err(Broken(InvariantId::CreditVerified, detail));
        let credited: u64 = state.credits.iter().map(|(_, samples)| samples).sum();
        let (verified, committed) = (state.samples_verified, state.samples_committed);
        // Of skipped steps nothing was used.
        let missing = job.samples_in(state).checked_sub(committed);
        let skipped = self.skipped_steps * u64::from(job.run.global_batch);
        if credited != verified || missing.is_none_or(|missing| missing > skipped) {
            return broken(format!(
                "{credited} samples credited, {verified} verified, {committed} committed"
            ));
        }
        if verified < committed || (self.step_log == StepLog::Updates && verified != committed) {
            return broken(format!(
                "{verified} samples verified, {committed} committed"
            ));
        }
        for (&identity, leases) in &self.acknowledged {
            let (told, credit) = (leases.values().sum::<u64>(), state.credit_of(identity));
            if credit < told {
                let detail = format!("{identity} was told that {told} samples count, has {credit}");
                return Err(Broken(InvariantId::AckDurable, detail));
            }
        }
        Ok(())
    }
}
