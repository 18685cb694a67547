//! Workers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use tabswarm_coordinator::WorkerStatus;
use tabswarm_protocol::client::{PauseReason, WorkerKind};

use crate::actor::Message;
use crate::app::App;
use crate::http::json;
use crate::problem::Problem;
use crate::view::View;

/// A worker as the operator sees it.
#[derive(Debug, Serialize)]
struct WorkerJson {
    worker_id: String,
    kind: &'static str,
    software: String,
    lanes: u16,
    connected: bool,
    paused: Option<&'static str>,
    run: Option<String>,
    micro_batches_per_s: Option<f64>,
    samples_accepted: u64,
    samples_credited: u64,
    updates_rejected: u64,
}

/// All workers, connected ones and those that may come back.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let workers = app.actor.ask(|reply| Message::Workers { reply }).await;
    let workers = workers.map_err(|_gone| Problem::going_down())?;
    let view = app.view.get();
    let all: Vec<_> = workers
        .into_iter()
        .map(|worker| WorkerJson::new(worker, &view))
        .collect();
    Ok(json(&headers, &all))
}

impl WorkerJson {
    fn new(worker: WorkerStatus, view: &View) -> Self {
        let run = worker
            .run_id
            .and_then(|id| view.runs.iter().find(|run| run.facts.run_id == id));
        Self {
            worker_id: worker.worker_id.to_string(),
            kind: match worker.kind {
                WorkerKind::Browser => "browser",
                WorkerKind::Native => "native",
            },
            software: worker.software,
            lanes: worker.lanes,
            connected: worker.connected,
            paused: worker.paused.map(pause_word),
            run: run.map(|run| run.facts.run.name.clone()),
            micro_batches_per_s: worker.micro_batches_per_s,
            samples_accepted: worker.samples_accepted,
            samples_credited: worker.samples_credited,
            updates_rejected: worker.updates_rejected,
        }
    }
}

fn pause_word(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::User => "user",
        PauseReason::Hidden => "hidden",
        PauseReason::OnBattery => "on_battery",
        PauseReason::BatteryLow => "battery_low",
        PauseReason::DataCap => "data_cap",
        PauseReason::EngineRestart => "engine_restart",
    }
}
