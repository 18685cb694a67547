//! Counters, and their text for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tabswarm_coordinator::limits::STALENESS_BOUNDS;
use tabswarm_coordinator::{InvariantId, RunPhase, Staleness};
use tabswarm_model::run_file::Mode;
use tabswarm_protocol::server::RejectReason;

use crate::ledger::LedgerStatus;
use crate::view::{RunView, View};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Its value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Updates that count.
    pub(crate) accepted: Counter,
    rejected: [Counter; REJECT_REASONS.len()],
    violations: [Counter; InvariantId::ALL.len()],
    /// Steps committed.
    pub(crate) steps: Counter,
    /// Steps skipped, or batches computed again, for a gradient too large in half precision.
    pub(crate) loss_overflows: Counter,
    /// Samples in accepted updates.
    pub(crate) samples: Counter,
    /// Bytes from workers.
    pub(crate) received_bytes: Counter,
    /// Bytes to workers.
    pub(crate) sent_bytes: Counter,
    /// Sockets that were cut because they read too slowly.
    pub(crate) slow_workers: Counter,
    /// Connections over a limit.
    pub(crate) connections_refused: Counter,
    /// Snapshots on stable storage.
    pub(crate) snapshots: Counter,
    /// Snapshots that could not be written.
    pub(crate) snapshot_failures: Counter,
    /// Time spent applying steps.
    pub(crate) commit_us: Counter,
    /// Groups of log entries on stable storage.
    pub(crate) log_syncs: Counter,
    /// Groups that could not be written.
    pub(crate) log_failures: Counter,
    /// Time spent writing and syncing logs.
    pub(crate) log_us: Counter,
}

const REJECT_REASONS: [(RejectReason, &str); 8] = [
    (RejectReason::Malformed, "malformed"),
    (RejectReason::OutOfRange, "out_of_range"),
    (RejectReason::WrongDigest, "wrong_digest"),
    (RejectReason::WrongCounts, "wrong_counts"),
    (RejectReason::UnknownLease, "unknown_lease"),
    (RejectReason::Superseded, "superseded"),
    (RejectReason::RunInactive, "run_inactive"),
    (RejectReason::Stale, "stale"),
];

impl Metrics {
    /// Counts a rejected update.
    pub(crate) fn rejected(&self, reason: RejectReason) {
        let at = REJECT_REASONS
            .iter()
            .position(|(known, _)| *known == reason);
        if let Some(counter) = at.and_then(|idx| self.rejected.get(idx)) {
            counter.add(1);
        }
    }

    /// Counts a violated invariant.
    pub(crate) fn violated(&self, id: InvariantId) {
        let at = InvariantId::ALL.iter().position(|known| *known == id);
        if let Some(counter) = at.and_then(|idx| self.violations.get(idx)) {
            counter.add(1);
        }
    }

    /// The text that a scraper reads.
    pub(crate) fn expose(&self, view: &View, ledger: &LedgerStatus) -> String {
        let mut page = Page::default();
        let version = env!("CARGO_PKG_VERSION");
        page.family(
            "build_info",
            "gauge",
            "Version of the server",
            [(format!("version=\"{version}\""), 1.0)],
        );
        let accepted = (
            "outcome=\"accepted\"".to_owned(),
            self.accepted.get() as f64,
        );
        let rejected = REJECT_REASONS.iter().zip(&self.rejected);
        let rejected =
            rejected.map(|((_, word), n)| (format!("outcome=\"{word}\""), n.get() as f64));
        page.family(
            "gradients_total",
            "counter",
            "Updates by what became of them",
            std::iter::once(accepted).chain(rejected),
        );
        let violations = InvariantId::ALL.iter().zip(&self.violations);
        let violations = violations.map(|(id, n)| (format!("id=\"{id}\""), n.get() as f64));
        page.family(
            "invariant_violations_total",
            "counter",
            "Invariants found broken: bugs",
            violations,
        );
        self.traffic(&mut page);
        page.ledger(ledger);
        page.runs(view);
        page.staleness(view);
        page.text
    }

    fn traffic(&self, page: &mut Page) {
        let bytes = [
            ("received", &self.received_bytes),
            ("sent", &self.sent_bytes),
        ];
        let bytes = bytes.map(|(word, n)| (format!("direction=\"{word}\""), n.get() as f64));
        page.family(
            "ws_bytes_total",
            "counter",
            "Bytes of WebSocket messages",
            bytes,
        );
        let commit_s = self.commit_us.get() as f64 / 1e6;
        let counters = [
            ("steps_total", "Steps committed", &self.steps),
            (
                "overflow_steps_total",
                "Steps skipped, or batches computed again, for a gradient too large in half precision",
                &self.loss_overflows,
            ),
            (
                "samples_total",
                "Samples in accepted updates",
                &self.samples,
            ),
            (
                "slow_workers_total",
                "Sockets cut for reading too slowly",
                &self.slow_workers,
            ),
            (
                "connections_refused_total",
                "Connections over a limit",
                &self.connections_refused,
            ),
            (
                "snapshots_total",
                "Snapshots on stable storage",
                &self.snapshots,
            ),
            (
                "snapshot_failures_total",
                "Snapshots not written",
                &self.snapshot_failures,
            ),
            (
                "log_syncs_total",
                "Groups of log entries on stable storage",
                &self.log_syncs,
            ),
            (
                "log_failures_total",
                "Groups of log entries that could not be written",
                &self.log_failures,
            ),
        ];
        let counters = counters.map(|(name, help, n)| (name, help, n.get() as f64));
        let seconds = (
            "commit_seconds_total",
            "Time spent applying steps",
            commit_s,
        );
        let log_seconds = (
            "log_seconds_total",
            "Time spent writing and syncing logs",
            self.log_us.get() as f64 / 1e6,
        );
        for (name, help, value) in counters.into_iter().chain([seconds, log_seconds]) {
            page.family(name, "counter", help, [(String::new(), value)]);
        }
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, f64)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            match labels.as_str() {
                "" => self.line(format_args!("tabswarm_{name} {value}\n")),
                labels => self.line(format_args!("tabswarm_{name}{{{labels}}} {value}\n")),
            }
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!(
            "# HELP tabswarm_{name} {help}.\n# TYPE tabswarm_{name} {kind}\n"
        ));
    }

    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text
            .write_fmt(arguments)
            .expect("writing to a string does not fail");
    }

    fn ledger(&mut self, status: &LedgerStatus) {
        let degraded = f64::from(u8::from(status.degraded.is_some()));
        self.family(
            "ledger_degraded",
            "gauge",
            "1 while the ledger can't be written",
            [(String::new(), degraded)],
        );
        self.family(
            "ledger_records_dropped_total",
            "counter",
            "Events that the ledger lost",
            [(String::new(), status.records_dropped as f64)],
        );
    }

    /// Samples of a histogram whose buckets end at `bounds`: `updates` has one count for each, and one for what is larger.
    fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64],
        of_runs: impl Iterator<Item = (&'a str, &'a Staleness)>,
    ) {
        // Prometheus counts all that is at most the bound.
        let samples = of_runs.flat_map(|(run, staleness)| {
            let ends = bounds.iter().map(ToString::to_string);
            let ends = ends.chain(["+Inf".to_owned()]);
            let mut count = 0;
            let buckets = ends.zip(&staleness.updates).map(|(end, n)| {
                count += n;
                (format!("_bucket{{run=\"{run}\",le=\"{end}\"}}"), count)
            });
            let mut samples: Vec<_> = buckets.collect();
            samples.push((format!("_sum{{run=\"{run}\"}}"), staleness.versions));
            samples.push((format!("_count{{run=\"{run}\"}}"), count));
            samples
        });
        let samples: Vec<_> = samples.collect();
        self.head(name, "histogram", help);
        for (rest, value) in samples {
            self.line(format_args!("tabswarm_{name}{rest} {value}\n"));
        }
    }

    /// How stale the updates of runs are that allow for it.
    fn staleness(&mut self, view: &View) {
        let is_async = |run: &&RunView| matches!(run.facts.run.mode, Mode::Async { .. });
        let runs = view.runs.iter().filter(is_async);
        self.histogram(
            "gradient_staleness_steps",
            "Accepted updates of async runs by the steps committed since their parameters",
            &STALENESS_BOUNDS,
            runs.map(|run| (&*run.facts.run.name, &run.status.staleness)),
        );
    }

    /// Gauges of each run; names of runs need no escaping.
    fn runs(&mut self, view: &View) {
        let families: [(&str, &str, Gauge); 8] = [
            ("workers_connected", "Workers of a run", |run| {
                Some(run.status.workers as f64)
            }),
            ("run_version", "Steps committed of a run", |run| {
                Some(run.status.version.0 as f64)
            }),
            ("run_running", "1 while a run hands out work", |run| {
                Some(f64::from(u8::from(run.status.phase == RunPhase::Running)))
            }),
            (
                "run_degraded",
                "1 while the log of a run can't be written",
                |run| Some(f64::from(u8::from(run.status.degraded.is_some()))),
            ),
            (
                "undurable_steps",
                "Committed steps that are not on stable storage yet",
                |run| Some(run.status.undurable_steps as f64),
            ),
            (
                "run_samples_per_second",
                "Samples committed per second",
                |run| Some(run.status.samples_per_s),
            ),
            (
                "train_loss",
                "Mean loss of the newest step, in nats",
                |run| run.status.train_loss,
            ),
            (
                "eval_accuracy_ratio",
                "Correct answers on the test set",
                |run| Some(run.history.evals().last()?.accuracy),
            ),
        ];
        for (name, help, value) in families {
            let samples = view
                .runs
                .iter()
                .filter_map(|run| Some((format!("run=\"{}\"", run.facts.run.name), value(run)?)));
            self.family(name, "gauge", help, samples);
        }
    }
}

/// A run's value, if it has one.
type Gauge = fn(&RunView) -> Option<f64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_and_invariant_has_a_line() {
        let metrics = Metrics::default();
        metrics.rejected(RejectReason::Superseded);
        metrics.violated(InvariantId::LeaseOnce);
        let ledger = LedgerStatus {
            degraded: Some("full".to_owned()),
            records_waiting: 1,
            records_dropped: 2,
            out_of_step: Vec::new(),
        };
        let text = metrics.expose(&View::default(), &ledger);
        for line in [
            "tabswarm_gradients_total{outcome=\"superseded\"} 1\n",
            "tabswarm_gradients_total{outcome=\"accepted\"} 0\n",
            "tabswarm_invariant_violations_total{id=\"LEASE-ONCE\"} 1\n",
            "tabswarm_invariant_violations_total{id=\"ELASTIC\"} 0\n",
            "# TYPE tabswarm_ws_bytes_total counter\n",
            "tabswarm_ledger_degraded 1\n",
            "tabswarm_ledger_records_dropped_total 2\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn buckets_of_a_histogram_count_all_that_is_less() {
        let mut page = Page::default();
        let staleness = Staleness {
            updates: [5, 3, 0, 0, 0, 0, 0, 2],
            versions: 83,
        };
        let runs = [("late", &staleness)];
        page.histogram("x_steps", "Help", &STALENESS_BOUNDS, runs.into_iter());
        let expected = "# HELP tabswarm_x_steps Help.\n# TYPE tabswarm_x_steps histogram\n\
             tabswarm_x_steps_bucket{run=\"late\",le=\"0\"} 5\n\
             tabswarm_x_steps_bucket{run=\"late\",le=\"1\"} 8\n";
        assert!(page.text.starts_with(expected), "{}", page.text);
        let expected = "tabswarm_x_steps_bucket{run=\"late\",le=\"32\"} 8\n\
             tabswarm_x_steps_bucket{run=\"late\",le=\"+Inf\"} 10\n\
             tabswarm_x_steps_sum{run=\"late\"} 83\ntabswarm_x_steps_count{run=\"late\"} 10\n";
        assert!(page.text.ends_with(expected), "{}", page.text);
    }
}
