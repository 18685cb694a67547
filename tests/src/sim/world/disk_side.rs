//! The disk's side of the world: the threads that write to it, and what goes wrong with it.

use std::path::Path;
use std::sync::Arc;

use tabswarm_store::faults::{Fault, FaultPlan};
use tabswarm_store::{Disk, Snapshot, StoreError};

use super::faults::Death;
use super::{Happening, World};
use crate::sim::storage::{Found, Logged, RUN_DIR, Storage};

/// A log that can't be written is tried again after so long.
const LOG_RETRY_MS: u64 = 1_000;
/// A log without news for so long gets a record that says what of it is durable.
const LOG_SEAL_MS: u64 = 500;
/// A crash comes within so many operations of the disk; a start takes some twenty, a group of entries two.
const PLANNED_WITHIN_OPERATIONS: usize = 40;

impl World {
    /// Reads the run's files; one start in ten crashes while it does. Says also whether the disk had a reason to
    /// fail.
    pub(super) fn open_storage(&mut self) -> (Result<(Storage, Found), StoreError>, bool) {
        if self.faults_left > 0 && self.chance.one_in(10) {
            let fault = if self.chance.one_in(2) {
                Fault::PowerCut
            } else {
                Fault::Kill
            };
            self.plan_death(fault);
        }
        let secret = self.chance.number();
        let may_fail = self.now < self.full_until || self.faulty_until > self.disk.operations();
        let opened = Storage::open(&self.disk, &self.job, secret);
        (opened, may_fail)
    }

    pub(super) fn log_writes(&mut self, epoch: u32) {
        let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) else {
            return;
        };
        let written = server.storage.write();
        if self.dies_of_disk() {
            return;
        }
        match written {
            Ok(()) => {
                let after = self.now + self.chance.between(0, 15);
                self.at(after, Happening::LogSyncs(epoch));
            }
            Err(problem) => self.report_log(epoch, Err(problem)),
        }
    }

    pub(super) fn log_syncs(&mut self, epoch: u32) {
        let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) else {
            return;
        };
        let logged = server.storage.sync();
        if !self.dies_of_disk() {
            self.report_log(epoch, logged);
        }
    }

    /// What the log's thread says takes a while to be heard; meanwhile it goes on.
    fn report_log(&mut self, epoch: u32, logged: Logged) {
        let heard = self.now + self.chance.between(0, 3);
        let failed = logged.is_err();
        self.at(heard, Happening::LogReports(epoch, logged));
        if failed {
            self.at(self.now + LOG_RETRY_MS, Happening::LogWrites(epoch));
            return;
        }
        let goes_on = self
            .server
            .as_mut()
            .is_some_and(|server| server.storage.goes_on());
        if goes_on {
            self.at(self.now, Happening::LogWrites(epoch));
        } else {
            self.at(self.now + LOG_SEAL_MS, Happening::LogSeals(epoch));
        }
    }

    pub(super) fn log_reports(&mut self, epoch: u32, logged: Logged) {
        let mut outputs = Vec::new();
        if let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) {
            server.logged(self.now, logged, &mut self.ledger, &mut outputs);
        }
        self.after_server(outputs);
    }

    pub(super) fn log_seals(&mut self, epoch: u32) {
        if let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) {
            server.storage.seal();
            self.dies_of_disk();
        }
    }

    pub(super) fn snapshot_written(&mut self, epoch: u32, snapshot: &Snapshot) {
        let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) else {
            return;
        };
        let stored = server.storage.put(snapshot, &self.job);
        if self.dies_of_disk() {
            return;
        }
        if let Err(problem) = &stored {
            self.watch
                .note(self.now, || format!("no snapshot: {problem}"));
        } else {
            self.ledger.snapshot_stored(&snapshot.state);
        }
        let mut outputs = Vec::new();
        if let Some(server) = &mut self.server {
            let sequence = snapshot.state.sequence;
            let ledger = &mut self.ledger;
            server.snapshot_ended(self.now, sequence, stored.is_ok(), ledger, &mut outputs);
        }
        self.after_server(outputs);
    }

    /// Whether the machine or the process went down in the last operation.
    fn dies_of_disk(&mut self) -> bool {
        let misuses = self.disk.misuses();
        if misuses > 0 {
            let problem = format!("{misuses} uses of a file after its sync had failed");
            self.watch.fail(problem);
        }
        let dies = self.disk.has_crashed();
        if dies {
            self.crash_server(Death::Planned);
        }
        dies
    }

    fn plan(&mut self, after: usize, count: u64, fault: Fault) {
        let first = self.disk.operations() + after as u64;
        self.faulty_until = first + count;
        let plan = FaultPlan {
            first,
            count,
            fault,
        };
        self.disk.plan(Some(plan));
    }

    /// The server will die in the middle of an operation.
    pub(super) fn plan_death(&mut self, fault: Fault) {
        let after = self.chance.below(PLANNED_WITHIN_OPERATIONS);
        self.plan(after, 1, fault);
    }

    pub(super) fn plan_errors(&mut self, kind: &'static str, fault: Fault) {
        self.watch.fault(self.now, kind);
        let (after, count) = (self.chance.below(6), self.chance.between(1, 8));
        self.plan(after, count, fault);
    }

    pub(super) fn fill_disk(&mut self) {
        self.watch.fault(self.now, "disk full");
        self.full_until = self.now + self.chance.between(200, 8_000);
        self.n_disk_faults += 1;
        self.at(self.full_until, Happening::DiskHeals(self.n_disk_faults));
        self.plan_full_disk();
    }

    /// A restart does not empty a disk.
    pub(super) fn plan_full_disk(&mut self) {
        if self.now < self.full_until {
            let first = self.disk.operations();
            self.disk.plan(Some(FaultPlan {
                first,
                count: u64::MAX,
                fault: Fault::NoSpace,
            }));
        }
    }

    pub(super) fn disk_heals(&mut self, number: u32) {
        if number == self.n_disk_faults {
            self.watch
                .note(self.now, || "the disk has space again".into());
            self.disk.plan(None);
        }
    }

    /// The power is cut when everything is over: what is wrong with what is left.
    pub(super) fn final_problem(&mut self) -> Option<String> {
        self.server = None;
        self.disk.power_cut();
        let run = Arc::clone(&self.job.base);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let verified = tabswarm_store::verify(&disk, Path::new(RUN_DIR), None, Some(&run));
        match verified {
            Ok(report) if report.problems.is_empty() => {}
            Ok(report) => return Some(format!("damage at the end: {:?}", report.problems)),
            Err(error) => return Some(format!("the files can't be verified: {error}")),
        }
        let (_, found) = match Storage::open(&self.disk, &self.job, 0) {
            Ok(opened) => opened,
            Err(error) => return Some(format!("no start at the end: {error}")),
        };
        self.job.use_settings(&found.state);
        let recovered = self.ledger.recovered(&found, &self.job);
        let version = found.state.version.0;
        self.watch.server_starts(self.now, &found);
        match recovered {
            Err(broken) => Some(format!("{} at the end: {}", broken.0, broken.1)),
            Ok(()) if version != self.job.plan.versions_total() => {
                Some(format!("the end is version {version}"))
            }
            Ok(()) => None,
        }
    }
}
