//! Log lines on standard error, for people or for machines.
//!
//! ERROR: something is lost. WARN: something went wrong and was dealt with. INFO: rare and of interest to the
//! operator. DEBUG: every message, and the only level with addresses. Tokens appear at no level.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::traces::{self, Collector, Sending};

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging, and sending traces where there is a collector for them. `filter` is a level such as `debug`, or a filter per
/// module. Traces are sent as long as what this returns lives.
pub(crate) fn init(
    format: LogFormat,
    filter: &str,
    collector: Option<&Collector>,
) -> Result<Option<Sending>, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        format!("the log filter {filter:?} can't be used: {error}; a level such as `info` will do")
    })?;
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let (mut layers, mut sending) = (vec![lines], None);
    if let Some(collector) = collector {
        let (spans, sender) = traces::start(collector)?;
        layers.push(spans);
        sending = Some(sender);
    }
    let started = registry().with(layers).try_init();
    started.map_err(|error| error.to_string())?;
    Ok(sending)
}
