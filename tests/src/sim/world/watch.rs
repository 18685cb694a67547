//! What is checked, and what is told afterwards.

use std::collections::BTreeMap;

use tabswarm_coordinator::{Event, InvariantId, RunState};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::server::RejectReason;

/// A simulation that ended well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Virtual time in ms.
    pub virtual_ms: u64,
    /// Events simulated.
    pub events: u64,
    /// Digest of the last version.
    pub digest: Option<Digest>,
    /// Accepted updates.
    pub accepted: u64,
    /// Rejected updates by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Leases that lapsed.
    pub lapsed: u64,
    /// Steps that were started again after an overflow.
    pub step_restarts: u64,
    /// Times that the server was started.
    pub server_starts: u64,
    /// Faults injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

/// The referee.
#[derive(Debug)]
pub(super) struct Watch {
    reference: Vec<Digest>,
    pub(super) version: u64,
    pub(super) problem: Option<String>,
    pub(super) timeline: Vec<String>,
    keep_timeline: bool,
    /// Largest credit that each seat was told.
    credits: BTreeMap<usize, u64>,
    outcome: Outcome,
}

impl Watch {
    pub(super) fn new(reference: Vec<Digest>, keep_timeline: bool) -> Self {
        Self {
            reference,
            version: 0,
            problem: None,
            timeline: Vec::new(),
            keep_timeline,
            credits: BTreeMap::new(),
            outcome: Outcome::default(),
        }
    }

    pub(super) fn note(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.keep_timeline {
            self.timeline.push(format!("{:>9} ms  {}", now, line()));
        }
    }

    pub(super) fn fail(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    fn violated(&mut self, id: InvariantId, detail: &str) {
        self.fail(format!("{id} does not hold: {detail}"));
    }

    pub(super) fn fault(&mut self, now: u64, kind: &'static str) {
        *self.outcome.faults.entry(kind).or_default() += 1;
        self.note(now, || format!("fault: {kind}"));
    }

    pub(super) fn server_starts(&mut self, now: u64, version: u64) {
        self.outcome.server_starts += 1;
        self.version = version;
        self.note(now, || format!("server starts at version {version}"));
    }

    pub(super) fn event(&mut self, now: u64, event: &Event) {
        self.note(now, || format!("{event:?}"));
        match event {
            Event::StepCommitted {
                version, digest, ..
            } => self.committed(version.0, *digest),
            Event::InvariantViolated { id, detail } => self.violated(*id, detail),
            Event::UpdateAccepted { .. } => self.outcome.accepted += 1,
            Event::UpdateRejected { reason, .. } => {
                *self.outcome.rejected.entry(*reason).or_default() += 1;
            }
            Event::LeaseLapsed { .. } => self.outcome.lapsed += 1,
            Event::StepRestarted { .. } => self.outcome.step_restarts += 1,
            _ => {}
        }
    }

    fn committed(&mut self, version: u64, digest: Digest) {
        if version != self.version + 1 {
            let detail = format!("version {version} came after {}", self.version);
            self.violated(InvariantId::VersionPlusOne, &detail);
        }
        self.version = version;
        let expected = usize::try_from(version)
            .ok()
            .and_then(|at| self.reference.get(at));
        if expected != Some(&digest) {
            let detail =
                format!("version {version} has digest {digest}, alone it would be {expected:?}");
            self.violated(InvariantId::Elastic, &detail);
        }
        self.outcome.digest = Some(digest);
    }

    /// A snapshot is durable: what it credits is what was committed.
    pub(super) fn snapshot(&mut self, state: &RunState) {
        let credited: u64 = state.credits.iter().map(|(_, samples)| samples).sum();
        if credited != state.samples_committed {
            let detail = format!(
                "{credited} samples credited, {} committed",
                state.samples_committed
            );
            self.violated(InvariantId::CreditVerified, &detail);
        }
    }

    /// A worker was told its credit: it never shrinks, whatever crashed.
    pub(super) fn credited(&mut self, seat: usize, samples: u64) {
        let known = self.credits.entry(seat).or_default();
        if samples < *known {
            let detail = format!("worker {seat} had {known} credited samples, now {samples}");
            self.violated(InvariantId::AckDurable, &detail);
        } else {
            *known = samples;
        }
    }

    /// A worker begins a session: without credit.
    pub(super) fn begins(&mut self, seat: usize) {
        self.credits.remove(&seat);
    }

    pub(super) fn outcome(self, virtual_ms: u64, events: u64) -> Outcome {
        Outcome {
            virtual_ms,
            events,
            ..self.outcome
        }
    }
}
