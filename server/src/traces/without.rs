//! A program that was built without traces.

use super::{Collector, Spans};

/// Nothing is sent.
#[derive(Debug)]
pub(crate) enum Sending {}

/// Says that it can't be done.
pub(crate) fn start(_collector: &Collector) -> Result<(Spans, Sending), String> {
    let problem = "this program was built without traces: build it with `cargo build --release -p tabswarm-server \
                   --features traces`, or leave --traces out";
    Err(problem.to_owned())
}
