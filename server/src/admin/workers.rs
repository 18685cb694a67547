//! Workers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tabswarm_coordinator::WorkerStatus;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::WorkerId;
use tabswarm_protocol::client::{PauseReason, WorkerKind};
use utoipa::{IntoParams, ToSchema};

use super::problems::{BadRequest, Conflict, NotFound};
use super::rows;
use crate::actor::{Message, Order};
use crate::app::App;
use crate::extract::{Path, Query};
use crate::http::json;
use crate::ledger::limits::MAX_ROWS;
use crate::problem::{Code, Problem};
use crate::view::View;

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerJson {
    /// As it is since the server started.
    worker_id: String,
    /// Digest of its token: it is credited, and can be banned, under this.
    #[schema(value_type = String)]
    identity: Digest,
    /// `browser` or `native`.
    kind: &'static str,
    software: String,
    lanes: u16,
    state: WorkerState,
    connected: bool,
    /// Why it wants no work, if so.
    paused: Option<&'static str>,
    run: Option<String>,
    /// Leases that it is expected to answer.
    leases: usize,
    /// Version of the parameters that it has.
    params_version: Option<u64>,
    micro_batches_per_s: Option<f64>,
    samples_accepted: u64,
    samples_credited: u64,
    updates_rejected: u64,
    /// Since it was last heard.
    silent_ms: u64,
    /// 0 where it does not say.
    memory_mib: u32,
    gpu: bool,
}

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WorkerState {
    /// It works, or waits for work.
    Connected,
    /// It wants no work for now.
    Paused,
    /// It is sent away once it has answered what it has.
    Draining,
    /// Its connection is gone; it may come back.
    Away,
    /// It may not work here.
    Banned,
}

/// A page of workers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkersJson {
    workers: Vec<WorkerJson>,
    /// To be given as `after` for the next page; null on the last one.
    next: Option<String>,
    /// Connected ones, on all pages.
    n_connected: usize,
    /// All that the server knows, on all pages.
    n_known: usize,
}

/// Which workers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkersQuery {
    /// Those that came later than this one.
    after: Option<String>,
    /// At most so many; 1 to 1,000, and 1,000 if left out.
    limit: Option<u32>,
    /// Only those of one run.
    run: Option<String>,
}

/// List workers.
///
/// Connected ones and those that may come back, by id.
#[utoipa::path(
    get, path = "/admin/workers", tag = "workers", operation_id = "list_workers", params(WorkersQuery),
    responses((status = 200, description = "A page of workers.", body = WorkersJson), BadRequest, NotFound)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<WorkersQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = rows::checked(query.limit.or(Some(MAX_ROWS)))?;
    let after = query.after.as_deref().map(worker_id).transpose();
    let after =
        after.map_err(|_problem| Problem::bad_query("after is a worker's id, such as w12."))?;
    let view = app.view.get();
    let run = rows::run_of(&view, query.run.as_deref())?;
    let all = workers(&app).await?;
    let (n_known, n_connected) = (
        all.len(),
        all.iter().filter(|worker| worker.connected).count(),
    );
    let page = all
        .into_iter()
        .filter(|worker| after.is_none_or(|after| worker.worker_id > after))
        .filter(|worker| run.is_none() || worker.run_id == run)
        .take(limit as usize);
    let workers: Vec<_> = page.map(|worker| WorkerJson::new(worker, &view)).collect();
    let next = rows::next(limit, &workers, |worker| worker.worker_id.clone());
    let answer = WorkersJson {
        workers,
        next,
        n_connected,
        n_known,
    };
    Ok(json(&headers, &answer))
}

/// Inspect a worker.
#[utoipa::path(
    get, path = "/admin/workers/{id}", tag = "workers", operation_id = "show_worker",
    params(("id" = String, Path, description = "The worker's id, such as w12.")),
    responses((status = 200, description = "The worker.", body = WorkerJson), BadRequest, NotFound)
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let worker = find(&app, &id).await?;
    Ok(json(&headers, &WorkerJson::new(worker, &app.view.get())))
}

/// Drain a worker.
///
/// It gets no more leases, and is sent away once it has answered those that it has. It may come back; a ban keeps it out.
#[utoipa::path(
    post, path = "/admin/workers/{id}/drain", tag = "workers", operation_id = "drain_worker",
    params(("id" = String, Path, description = "The worker's id, such as w12.")),
    responses((status = 200, description = "The worker.", body = WorkerJson), BadRequest, NotFound, Conflict)
)]
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let worker_id = find(&app, &id).await?.worker_id;
    let drained = app
        .actor
        .ask(|done| Message::Order(Order::Drain { worker_id, done }))
        .await;
    if !drained.map_err(|_gone| Problem::going_down())? {
        let detail = format!("The worker {id} is not connected: there is nothing to take from it.");
        return Err(Problem::conflict(Code::WrongPhase, detail));
    }
    let worker = find(&app, &id).await?;
    Ok(json(&headers, &WorkerJson::new(worker, &app.view.get())))
}

async fn workers(app: &App) -> Result<Vec<WorkerStatus>, Problem> {
    let workers = app.actor.ask(|reply| Message::Workers { reply }).await;
    workers.map_err(|_gone| Problem::going_down())
}

async fn find(app: &App, id: &str) -> Result<WorkerStatus, Problem> {
    let worker_id = worker_id(id)?;
    let all = workers(app).await?;
    let found = all.into_iter().find(|worker| worker.worker_id == worker_id);
    found.ok_or_else(|| no_worker(id))
}

/// `w12`, or just `12`.
fn worker_id(id: &str) -> Result<WorkerId, Problem> {
    let number = id.strip_prefix('w').unwrap_or(id);
    number
        .parse()
        .map(WorkerId)
        .map_err(|_no_number| no_worker(id))
}

fn no_worker(id: &str) -> Problem {
    Problem::not_found(format!(
        "The server knows no worker {id:?}; `tabswarm worker list` shows those that it knows."
    ))
}

impl WorkerJson {
    fn new(worker: WorkerStatus, view: &View) -> Self {
        Self {
            worker_id: worker.worker_id.to_string(),
            identity: worker.identity,
            kind: match worker.kind {
                WorkerKind::Browser => "browser",
                WorkerKind::Native => "native",
            },
            state: state_of(&worker),
            software: worker.software,
            lanes: worker.lanes,
            connected: worker.connected,
            paused: worker.paused.map(pause_word),
            run: worker.run_id.and_then(|run_id| rows::name_of(view, run_id)),
            leases: worker.leases,
            params_version: worker.params.map(|version| version.0),
            micro_batches_per_s: worker.micro_batches_per_s,
            samples_accepted: worker.samples_accepted,
            samples_credited: worker.samples_credited,
            updates_rejected: worker.updates_rejected,
            silent_ms: worker.silent_ms,
            memory_mib: worker.memory_mib,
            gpu: worker.gpu,
        }
    }
}

fn state_of(worker: &WorkerStatus) -> WorkerState {
    match () {
        () if worker.banned => WorkerState::Banned,
        () if !worker.connected => WorkerState::Away,
        () if worker.draining => WorkerState::Draining,
        () if worker.paused.is_some() => WorkerState::Paused,
        () => WorkerState::Connected,
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
