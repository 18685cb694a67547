//! Processes that outlive one call and must never outlive this tool.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A process gets this long to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 20;

/// A running process with its output in a log file. Dropping it ends it and waits, so an
/// error or a panic anywhere leaves no orphan.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts `command` in a process group of its own: Ctrl-C in the terminal reaches this
    /// tool alone, which then ends its services in the right order.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// What this process is, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask for the state of the {}", self.name))
    }

    /// The end of its log, with the log's place.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("the end of {}:\n{}", self.log.display(), tail.join("\n"))
    }

    /// Ends the process, politely first, and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Not yet waited for, so the id is still this process's.
        let asked = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let deadline = Instant::now() + if asked { GRACE } else { Duration::ZERO };
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(POLL);
        }
        eprintln!(
            "the {} did not stop within {} s: killed",
            self.name,
            GRACE.as_secs()
        );
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the {} could not be killed: {error}", self.name);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_ends_the_process() {
        let mut sleep = Command::new("sleep");
        let service = Service::start("sleeper", sleep.arg("1000"), Path::new("/dev/null")).unwrap();
        let pid = Pid::from_raw(i32::try_from(service.child.id()).unwrap()).unwrap();
        drop(service);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
