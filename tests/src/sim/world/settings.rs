//! An operator changes the settings of the run: it is paused, its files are changed, and it goes on.

use tabswarm_coordinator::{Input as ServerInput, InvariantId, RunCommand, RunPhase};
use tabswarm_store::ChangeError;

use super::faults::Death;
use super::{Happening, World};
use crate::sim::ledger::Broken;
use crate::sim::server::RUN_ID;
use crate::sim::storage::{Found, Storage};

/// The operator looks again after so long.
const PATIENCE_MS: u64 = 200;

impl World {
    pub(super) fn change_settings(&mut self) {
        if !self.rests() {
            self.at(self.now + PATIENCE_MS, Happening::ChangeSettings);
            return;
        }
        let to = self.job.other_settings(&mut self.chance);
        if let Err(broken) = self.ledger.change_wanted(&self.job, &to) {
            self.watch.broken(&broken);
        }
        if let Some(server) = &mut self.server {
            server.storage.close();
        }
        let secret = self.chance.number();
        let changed = Storage::change(&self.disk, &self.job, &to, secret);
        if self.disk.has_crashed() {
            self.crash_server(Death::Planned);
            return;
        }
        match changed {
            Ok(()) | Err(ChangeError::Settings(_)) => {}
            // The disk is in trouble: what of it was written shows when the run is opened again.
            Err(ChangeError::Store(error)) => {
                self.watch
                    .note(self.now, || format!("not changed: {error}"));
            }
        }
        self.reopen();
    }

    /// Whether the run rests; if it does not, the operator pauses it.
    fn rests(&mut self) -> bool {
        let run_id = RUN_ID;
        let Some(server) = &self.server else {
            return false;
        };
        let coordinator = &server.coordinator;
        let status = coordinator.run_status(tabswarm_protocol::Timestamp(self.now), run_id);
        if status.is_some_and(|status| status.phase == RunPhase::Running) {
            let command = RunCommand::Pause;
            self.tell_server(ServerInput::Command { run_id, command });
        }
        let server = self.server.as_ref();
        server
            .is_some_and(|server| server.coordinator.may_replace(run_id) && !server.storage.is_busy)
    }

    /// The server reads the run's files again.
    fn reopen(&mut self) {
        let (opened, may_fail) = self.open_storage();
        if self.disk.has_crashed() {
            self.crash_server(Death::Planned);
            return;
        }
        let (storage, found) = match opened {
            Ok(opened) => opened,
            Err(error) if may_fail => {
                // The run has no files to go on with: the operator restarts the server.
                self.watch
                    .note(self.now, || format!("not reopened: {error}"));
                self.crash_server(Death::Killed);
                return;
            }
            Err(error) => {
                let broken = Broken(InvariantId::AckDurable, format!("not reopened: {error}"));
                self.watch.broken(&broken);
                return;
            }
        };
        self.use_settings(&found);
        if let Err(broken) = self.ledger.reopened(&found, &self.job) {
            self.watch.broken(&broken);
        }
        self.watch.version = found.state.version.0;
        let mut outputs = Vec::new();
        if let Some(server) = &mut self.server {
            let files = (storage, found);
            server.attach(self.now, &self.job, files, &mut self.ledger, &mut outputs);
        }
        self.after_server(outputs);
        let command = RunCommand::Start;
        let run_id = RUN_ID;
        self.tell_server(ServerInput::Command { run_id, command });
    }

    /// The settings of a run that was just read hold from now on.
    pub(super) fn use_settings(&mut self, found: &Found) {
        self.job.use_settings(&found.state);
        self.watch.reference.clone_from(&self.job.reference);
    }
}
