//! Effects as lines.

use tabswarm_protocol::ServerMessage;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::server::LeaseKind;

use crate::effect::Effect;
use crate::event::Event;
use crate::input::Payload;
use crate::log_entry::Change;
use crate::run_state::RunState;

/// What an effect says, without the parts that no decision depends on.
pub(super) fn line(effect: &Effect) -> String {
    match effect {
        Effect::Send {
            connection,
            message,
        } => format!("c{} <- {}", connection.0, message_line(message)),
        Effect::SendParams {
            connection,
            run_id,
            version,
        } => format!("c{} <- params {run_id} {version}", connection.0),
        Effect::Close { connection } => format!("c{} close", connection.0),
        Effect::Accumulate {
            run_id,
            first,
            payload,
        } => {
            let sum = match payload {
                Payload::Exact(values) => i64::from(values[0]),
                Payload::F32(_) => 0,
            };
            format!("accumulate {run_id} from {first}: {sum}")
        }
        Effect::ResetAccumulator { run_id } => format!("reset {run_id}"),
        Effect::ApplyStep {
            run_id,
            version,
            exponents,
            divisor,
            rate_factor,
        } => {
            format!("apply {run_id} {version}: {divisor} samples, e{exponents:?}, x{rate_factor}")
        }
        Effect::Append { run_id, entry } => {
            format!(
                "log {run_id} {}: {}",
                entry.sequence,
                change_line(&entry.change)
            )
        }
        Effect::Evaluate { run_id, version } => format!("evaluate {run_id} {version}"),
        Effect::TakeSnapshot {
            run_id,
            cause,
            state,
        } => format!("snapshot {run_id} {cause:?}: {}", state_line(state)),
        Effect::Credited {
            run_id,
            after,
            through,
            credits,
        } => {
            let samples: Vec<u64> = credits.iter().map(|(_, samples)| *samples).collect();
            format!("credit {run_id} {after}..{through}: {samples:?}")
        }
        Effect::Event(event) => format!("# {}", event_line(event)),
    }
}

fn change_line(change: &Change) -> String {
    match change {
        Change::Step(step) => {
            let mut credits: Vec<u64> = step.credits.iter().map(|(_, samples)| *samples).collect();
            credits.sort_unstable();
            format!("step {}, credits {credits:?}", step.version)
        }
        Change::Phase { phase, .. } => phase.to_string(),
        Change::RolledBack(rollback) => format!("back to {}", rollback.version),
        Change::Settings(change) => format!("settings {}", change.settings.run.mode.as_str()),
    }
}

fn state_line(state: &RunState) -> String {
    let RunState {
        version,
        phase,
        samples_committed,
        ..
    } = state;
    let mut credits: Vec<u64> = state.credits.iter().map(|(_, samples)| *samples).collect();
    // Identities are digests of tokens: their order means nothing.
    credits.sort_unstable();
    format!("{version} {phase}, {samples_committed} samples, credits {credits:?}")
}

fn message_line(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Welcome(welcome) => {
            let resumed = if welcome.resumed { " again" } else { "" };
            let (id, token) = (welcome.worker_id, welcome.resume_token.0[0]);
            let credited = welcome.credited_samples;
            format!("welcome {id}{resumed}, token {token}, credited {credited}")
        }
        ServerMessage::Run(assignment) => format!("run {}", assignment.run_id),
        ServerMessage::Params(_) => "params".to_owned(),
        ServerMessage::Lease(lease) => {
            let (id, version, exponents) = (lease.lease_id, lease.version, &lease.exponents);
            let range = range_line(lease.range);
            let what = match lease.kind {
                LeaseKind::Step => String::new(),
                LeaseKind::Batch => format!(" of batch {}", lease.batch),
                LeaseKind::Shard { inner_steps } => format!(" of {inner_steps} steps"),
            };
            format!(
                "lease {id} {version} {range}{what} e{exponents:?} {} ms",
                lease.deadline_ms
            )
        }
        ServerMessage::Receipt { lease_id, verdict } => format!("receipt {lease_id} {verdict:?}"),
        ServerMessage::Revoke { lease_id, reason } => format!("revoke {lease_id} {reason:?}"),
        ServerMessage::Credited { samples } => format!("credited {samples}"),
        ServerMessage::Idle { reason } => format!("idle {reason:?}"),
        ServerMessage::Ping { .. } => "ping".to_owned(),
        ServerMessage::Restarting {
            reconnect_in_ms, ..
        } => {
            format!("restarting, back in {reconnect_in_ms} ms")
        }
        ServerMessage::Throttle { retry_in_ms } => format!("throttle {retry_in_ms} ms"),
        ServerMessage::Refused { code, message } => format!("refused {code:?}: {message}"),
    }
}

fn range_line(range: MicroBatchRange) -> String {
    format!("{}+{}", range.first, range.count)
}

fn event_line(event: &Event) -> String {
    match event {
        Event::WorkerJoined {
            worker_id, resumed, ..
        } => format!("joined {worker_id} {resumed}"),
        Event::WorkerLeft { worker_id, goodbye } => format!("left {worker_id} {goodbye}"),
        Event::Refused { code, .. } => format!("refused {code:?}"),
        Event::LeaseGranted {
            lease_id,
            worker_id,
            ..
        } => format!("granted {lease_id} {worker_id}"),
        Event::LeaseLapsed {
            lease_id,
            worker_id,
        } => format!("lapsed {lease_id} {worker_id}"),
        Event::UpdateAccepted {
            worker_id,
            lease_id,
            samples,
        } => {
            format!("accepted {lease_id} {worker_id} {samples}")
        }
        Event::UpdateRejected {
            worker_id,
            lease_id,
            reason,
        } => {
            format!("rejected {lease_id} {worker_id} {reason:?}")
        }
        Event::LossOverflowed {
            run_id,
            version,
            exponent,
        } => format!("loss overflowed {run_id} {version}, 2^{exponent}"),
        Event::StepRestarted {
            run_id,
            version,
            attempts,
        } => {
            format!("restarted {run_id} {version}, attempt {attempts}")
        }
        Event::StepCommitted {
            run_id,
            version,
            train_loss,
            ..
        } => {
            format!("committed {run_id} {version}, loss {train_loss}")
        }
        Event::PhaseChanged {
            run_id,
            phase,
            reason,
        } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}"));
            format!("phase {run_id} {phase}{}", reason.unwrap_or_default())
        }
        Event::LogFailed { run_id, reason } => format!("log of {run_id} failed: {reason}"),
        Event::LogRecovered { run_id } => format!("log of {run_id} recovered"),
        Event::RolledBack { run_id, version } => format!("{run_id} back to {version}"),
        Event::SettingsChanged { run_id, version } => format!("settings {run_id} {version}"),
        Event::RunRemoved { run_id } => format!("{run_id} removed"),
        Event::InvariantViolated { id, detail } => format!("VIOLATED {id}: {detail}"),
    }
}
