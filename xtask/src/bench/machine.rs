//! What the figures were measured on.

use std::fs;
use std::thread::available_parallelism;

use anyhow::Result;
use std::process::Command;

use crate::command;

/// The machine and the hour.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    /// Day and time of the measurement.
    pub(super) date: String,
    pub(super) revision: String,
    /// Processes that were ready to run in the minute before the first measurement, and before the end.
    pub(super) load: (Option<f64>, Option<f64>),
}

impl Machine {
    /// Looks around before anything is measured.
    pub(super) fn look() -> Result<Self> {
        let date = command::capture(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
        let root = env!("CARGO_MANIFEST_DIR");
        let mut git = Command::new("git");
        git.args(["describe", "--always", "--dirty", "--exclude", "*"])
            .current_dir(root);
        // A copy of the sources without its history can be measured too.
        let revision = command::capture(&mut git).unwrap_or_else(|_| "unknown".to_owned());
        Ok(Self {
            cpu: cpu(),
            cores: available_parallelism().map_or(1, std::num::NonZero::get),
            date: date.trim_end().to_owned(),
            revision: revision.trim_end().to_owned(),
            load: (load(), None),
        })
    }

    /// Looks again when all is measured.
    pub(super) fn look_again(&mut self) {
        self.load.1 = load();
    }

    /// In one sentence.
    pub(super) fn sentence(&self) -> String {
        let Self {
            cpu,
            cores,
            date,
            revision,
            load,
        } = self;
        let load = match load {
            (Some(before), Some(after)) => {
                format!("; load average {before:.1} before and {after:.1} after")
            }
            _ => String::new(),
        };
        format!("{cpu}, {cores} cores; {date}; revision {revision}{load}")
    }
}

fn cpu() -> String {
    let model = |text: String| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let on_linux = fs::read_to_string("/proc/cpuinfo").ok().and_then(model);
    let on_macos = || {
        let mut sysctl = Command::new("sysctl");
        let name = command::capture(sysctl.args(["-n", "machdep.cpu.brand_string"]));
        name.ok().map(|name| name.trim_end().to_owned())
    };
    on_linux
        .or_else(on_macos)
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}
