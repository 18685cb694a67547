//! What is checked, and what is told afterwards.

use std::collections::BTreeMap;

use tabswarm_coordinator::{Event, InvariantId};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::LeaseId;
use tabswarm_protocol::server::RejectReason;

use crate::sim::ledger::Broken;
use crate::sim::storage::Found;

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
    /// Steps that were skipped for a gradient too large in half precision.
    pub loss_overflows: u64,
    /// Times that the server was started.
    pub server_starts: u64,
    /// Steps that a starting server replayed.
    pub replayed: u64,
    /// Bytes of half-written entries that starting servers found.
    pub torn_bytes: u64,
    /// Starts that went back to a snapshot, because the log has no updates.
    pub went_back: u64,
    /// Times that the log could not be written.
    pub log_failures: u64,
    /// Samples that were computed and credited more than once, all of them in runs that went back.
    pub recomputed_samples: u64,
    /// Changes of settings that took effect.
    pub settings_changed: u64,
    /// Faults injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

/// The referee.
#[derive(Debug)]
pub(super) struct Watch {
    /// Digests of versions as far as they do not depend on who takes part.
    pub(super) reference: Vec<Digest>,
    pub(super) version: u64,
    pub(super) problem: Option<String>,
    pub(super) timeline: Vec<String>,
    keep_timeline: bool,
    /// Largest credit that each seat was told.
    credits: BTreeMap<usize, u64>,
    /// Samples of the updates that each seat heard to count.
    acknowledged: BTreeMap<usize, BTreeMap<LeaseId, u64>>,
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
            acknowledged: BTreeMap::new(),
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

    pub(super) fn broken(&mut self, Broken(id, detail): &Broken) {
        self.violated(*id, detail);
    }

    fn violated(&mut self, id: InvariantId, detail: &str) {
        self.fail(format!("{id} does not hold: {detail}"));
    }

    pub(super) fn fault(&mut self, now: u64, kind: &'static str) {
        *self.outcome.faults.entry(kind).or_default() += 1;
        self.note(now, || format!("fault: {kind}"));
    }

    pub(super) fn server_starts(&mut self, now: u64, found: &Found) {
        let (state, report) = (&found.state, &found.report);
        let outcome = &mut self.outcome;
        outcome.server_starts += 1;
        outcome.replayed += report.replayed.len() as u64;
        outcome.torn_bytes += report.torn_bytes;
        outcome.went_back += u64::from(report.rolled_back.is_some());
        outcome.recomputed_samples = state.samples_verified - state.samples_committed;
        self.version = state.version.0;
        self.note(now, || {
            format!(
                "server starts at entry {}, version {}; from {:?}, {} steps replayed, {} bytes torn",
                state.sequence,
                state.version,
                report.snapshot,
                report.replayed.len(),
                report.torn_bytes
            )
        });
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
            Event::LogFailed { .. } => self.outcome.log_failures += 1,
            Event::StepRestarted { .. } => self.outcome.step_restarts += 1,
            Event::LossOverflowed { .. } => self.outcome.loss_overflows += 1,
            Event::SettingsChanged { .. } => self.outcome.settings_changed += 1,
            _ => {}
        }
    }

    fn committed(&mut self, version: u64, digest: Digest) {
        if version != self.version + 1 {
            let detail = format!("version {version} came after {}", self.version);
            self.violated(InvariantId::VersionPlusOne, &detail);
        }
        self.version = version;
        let at = usize::try_from(version).unwrap_or(usize::MAX);
        if let Some(expected) = self.reference.get(at)
            && *expected != digest
        {
            let detail =
                format!("version {version} has digest {digest}, alone it would be {expected}");
            self.violated(InvariantId::Elastic, &detail);
        }
        self.outcome.digest = Some(digest);
    }

    /// A worker heard that an update counts.
    pub(super) fn acknowledged(&mut self, seat: usize, lease_id: LeaseId, samples: u32) {
        let leases = self.acknowledged.entry(seat).or_default();
        leases.insert(lease_id, u64::from(samples));
    }

    /// A worker came back: its credit covers everything that it heard of.
    pub(super) fn welcomed(&mut self, seat: usize, credited: u64) {
        let leases = self.acknowledged.get(&seat);
        let heard: u64 = leases.map_or(0, |leases| leases.values().sum());
        if credited < heard {
            let detail = format!("worker {seat} heard that {heard} samples count, has {credited}");
            self.violated(InvariantId::AckDurable, &detail);
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
        self.acknowledged.remove(&seat);
    }

    pub(super) fn outcome(self, virtual_ms: u64, events: u64) -> Outcome {
        Outcome {
            virtual_ms,
            events,
            ..self.outcome
        }
    }
}
