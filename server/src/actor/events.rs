//! Events of the coordinator as log lines and counters.

use tabswarm_coordinator::Event;
use tracing::{debug, error, info, warn};

use crate::metrics::Metrics;

/// Logs and counts an event.
pub(super) fn record(event: &Event, metrics: &Metrics) {
    match event {
        Event::WorkerJoined {
            worker_id, resumed, ..
        } => {
            info!(%worker_id, resumed, "worker joined");
        }
        Event::WorkerLeft { worker_id, goodbye } => info!(%worker_id, goodbye, "worker left"),
        Event::Refused { code, message } => info!(?code, message, "connection refused"),
        Event::LeaseGranted {
            lease_id,
            worker_id,
            first,
            count,
        } => {
            debug!(%lease_id, %worker_id, first, count, "lease granted");
        }
        Event::LeaseLapsed {
            lease_id,
            worker_id,
        } => {
            debug!(%lease_id, %worker_id, "lease lapsed");
        }
        Event::UpdateAccepted {
            worker_id,
            lease_id,
            samples,
        } => {
            metrics.accepted.add(1);
            metrics.samples.add(u64::from(*samples));
            debug!(%worker_id, %lease_id, samples, "update accepted");
        }
        Event::UpdateRejected {
            worker_id,
            lease_id,
            reason,
        } => {
            metrics.rejected(*reason);
            debug!(%worker_id, %lease_id, ?reason, "update rejected");
        }
        Event::StepRestarted { .. }
        | Event::LossOverflowed { .. }
        | Event::StepCommitted { .. }
        | Event::PhaseChanged { .. }
        | Event::LogFailed { .. }
        | Event::LogRecovered { .. }
        | Event::RolledBack { .. }
        | Event::SettingsChanged { .. }
        | Event::RunRemoved { .. }
        | Event::InvariantViolated { .. } => record_of_run(event, metrics),
    }
}

/// Those of runs rather than workers.
fn record_of_run(event: &Event, metrics: &Metrics) {
    match event {
        Event::StepRestarted {
            run_id,
            version,
            attempts,
        } => {
            debug!(%run_id, %version, attempts, "step restarted with smaller exponents");
        }
        Event::LossOverflowed {
            run_id,
            version,
            exponent,
        } => {
            metrics.loss_overflows.add(1);
            info!(%run_id, %version, exponent, "gradient too large for half precision, loss scale halved");
        }
        Event::StepCommitted {
            run_id,
            version,
            digest,
            train_loss,
            gradient_norm,
        } => {
            metrics.steps.add(1);
            debug!(%run_id, %version, %digest, train_loss, gradient_norm, "step committed");
        }
        Event::PhaseChanged {
            run_id,
            phase,
            reason,
        } => {
            let reason = reason.as_deref().unwrap_or_default();
            info!(%run_id, %phase, reason, "phase changed");
        }
        Event::LogFailed { run_id, reason } => {
            error!(%run_id, reason, "run degraded: nothing is acknowledged until its log can be written");
        }
        Event::LogRecovered { run_id } => info!(%run_id, "run no longer degraded"),
        Event::RolledBack { run_id, version } => info!(%run_id, %version, "run went back"),
        Event::SettingsChanged { run_id, version } => {
            info!(%run_id, %version, "settings changed");
        }
        Event::RunRemoved { run_id } => info!(%run_id, "run no longer hosted"),
        Event::InvariantViolated { id, detail } => {
            metrics.violated(*id);
            error!(%id, detail, "invariant violated: please report this");
        }
        _ => {}
    }
}

/// Logs a worker that reads too slowly.
pub(super) fn too_slow(connection: u64, metrics: &Metrics) {
    metrics.slow_workers.add(1);
    warn!(connection, "worker cut: it reads too slowly");
}
