//! Effects and states as lines.

use std::fmt::Write as _;

use tabswarm_protocol::ClientMessage;
use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::LeaseKind;

use crate::effect::Effect;
use crate::status::Status;

pub(super) fn line(effect: &Effect) -> String {
    match effect {
        Effect::Connect => "connect".to_owned(),
        Effect::CloseSocket => "close".to_owned(),
        Effect::Send(message) => format!("send {}", message_line(message)),
        Effect::LoadRun(assignment) => format!("load {}", assignment.run_id),
        Effect::UseParams { run_id, version } => format!("use {run_id} {version}"),
        Effect::PrepareData {
            lease_id,
            version,
            batch,
            range,
            kind,
        } => {
            let what = match kind {
                LeaseKind::Step => String::new(),
                LeaseKind::Batch => format!(" of batch {batch}"),
                LeaseKind::Shard { .. } => " (shard)".to_owned(),
            };
            format!("prepare {lease_id} {version} {}{what}", range_line(*range))
        }
        Effect::ForgetParams { run_id, version } => format!("forget {run_id} {version}"),
        Effect::Compute { lane, task } => {
            let range = range_line(task.range);
            let exponents = &task.exponents;
            format!(
                "compute on {lane}: {} {} {range} e{exponents:?}",
                task.lease_id, task.version
            )
        }
        Effect::RestartLane { lane } => format!("restart lane {lane}"),
        Effect::RetireLane { lane, message } => format!("retire lane {lane}: {message}"),
        Effect::SendUpdate(update) => format!("update {}", update_line(update)),
        Effect::ResendUpdate { lease_id } => format!("resend {lease_id}"),
        Effect::ForgetUpdate { lease_id } => format!("forget {lease_id}"),
        Effect::DropLease { lease_id } => format!("drop {lease_id}"),
    }
}

fn range_line(range: MicroBatchRange) -> String {
    format!("{}+{}", range.first, range.count)
}

fn update_line(update: &Update) -> String {
    let done: Vec<String> = update.done.iter().copied().map(range_line).collect();
    format!(
        "{} [{}]: {} samples, loss {}, {} correct, {} us",
        update.lease_id,
        done.join(" "),
        update.samples,
        update.loss_q20,
        update.correct,
        update.compute_us,
    )
}

fn message_line(message: &ClientMessage) -> String {
    match message {
        ClientMessage::Hello(hello) => format!(
            "hello run {:?}, token {:?}, {} lanes, {:?}",
            hello.run,
            hello.resume.map(|token| token.0[0]),
            hello.lanes,
            hello.classes,
        ),
        ClientMessage::Ready { run_id } => format!("ready {run_id}"),
        ClientMessage::Pause { reason } => format!("pause {reason:?}"),
        ClientMessage::Update(_) => "update".to_owned(),
        ClientMessage::Overflow { lease_id, fits } => format!("overflow {lease_id} {fits:?}"),
        ClientMessage::Release { lease_id, reason } => format!("release {lease_id} {reason:?}"),
        ClientMessage::Pong { nonce } => format!("pong {nonce}"),
        ClientMessage::Goodbye => "goodbye".to_owned(),
        ClientMessage::Lanes { lanes } => format!("lanes {lanes}"),
    }
}

pub(super) fn status_line(status: &Status) -> String {
    let mut line = status.state.as_str().to_owned();
    if let Some(code) = status.stop_code {
        write!(line, " ({})", code.as_str()).unwrap();
    }
    if let Some(reason) = &status.reason {
        write!(line, ": {reason}").unwrap();
    }
    if let Some(wait_ms) = status.retry_in_ms {
        write!(line, " Again in {wait_ms} ms.").unwrap();
    }
    if let Some((done, all)) = status.lease {
        write!(line, " {done} of {all} micro-batches.").unwrap();
    }
    line
}
