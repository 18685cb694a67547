//! Runs: create, list, command.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tabswarm_coordinator::RunPhase;
use tabswarm_coordinator::limits::MAX_RUNS;
use tabswarm_protocol::RunId;
use tabswarm_store::StoreError;
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::problems::{BadRequest, Conflict, NotFound, NotStored, TooLarge, Unprocessable};
use crate::actor::{Command, Forbidden, Message};
use crate::api::runs::no_run;
use crate::api::wire::RunStatusJson;
use crate::app::App;
use crate::dataset::IngestError;
use crate::extract::{Path, Query, Text};
use crate::hosting::CreateError;
use crate::http::json;
use crate::problem::{Code, Problem};
use crate::snapshot_place::SnapshotPlaceError;
use crate::view::RunView;

/// A run as the operator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdminRunJson {
    run_id: u32,
    /// Why it is in its phase, where that was not a command.
    reason: Option<String>,
    /// Why the log can't be written, while it can't.
    storage_problem: Option<String>,
    /// Committed steps that are not on stable storage yet.
    undurable_steps: usize,
    #[serde(flatten)]
    status: RunStatusJson,
}

impl AdminRunJson {
    fn new(view: &RunView) -> Self {
        Self {
            run_id: view.facts.run_id.0,
            reason: view.status.reason.clone(),
            storage_problem: view.status.degraded.clone(),
            undurable_steps: view.status.undurable_steps,
            status: RunStatusJson::new(view),
        }
    }
}

/// List runs.
///
/// All that are hosted, by id.
#[utoipa::path(
    get, path = "/admin/runs", tag = "runs", operation_id = "list_runs",
    responses((status = 200, description = "All runs.", body = Vec<AdminRunJson>))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let view = app.view.get();
    let runs: Vec<_> = view.runs.iter().map(AdminRunJson::new).collect();
    json(&headers, &runs)
}

/// Show a run.
#[utoipa::path(
    get, path = "/admin/runs/{name}", tag = "runs", operation_id = "show_run",
    params(("name" = String, Path, description = "The run's name.")),
    responses((status = 200, description = "The run.", body = AdminRunJson), BadRequest, NotFound)
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&app, &headers, &name)
}

/// A run as JSON.
pub(super) fn answer(app: &App, headers: &HeaderMap, name: &str) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(name).ok_or_else(|| no_run(name))?;
    Ok(json(headers, &AdminRunJson::new(run)))
}

/// What to do with a new run.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateQuery {
    /// Start it at once.
    #[serde(default)]
    start: bool,
}

/// Create a run.
///
/// Its data set is read and stored before the answer comes.
#[utoipa::path(
    post, path = "/admin/runs", tag = "runs", operation_id = "create_run", params(CreateQuery),
    request_body(content = String, content_type = "application/toml", description = "The run file."),
    responses(
        (status = 201, description = "The run.", body = AdminRunJson),
        BadRequest, Conflict, TooLarge, Unprocessable, NotStored
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Query(CreateQuery { start }): Query<CreateQuery>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<Response, Problem> {
    // On a task of its own: a client that goes away must not leave a run that is stored but not hosted.
    let task = tokio::spawn(host(Arc::clone(&app), text, start));
    let name = task.await.map_err(|panic| {
        error!(%panic, "creating a run panicked");
        Problem::internal()
    })??;
    let answer = answer(&app, &headers, &name)?;
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Makes a run ready, hands it to the coordinator's thread and returns its name.
async fn host(app: Arc<App>, run_toml: String, start: bool) -> Result<String, Problem> {
    let _one_at_a_time = app.creating.lock().await;
    check_room(&app)?;
    let hosts = Arc::clone(&app.hosts);
    let created = tokio::task::spawn_blocking(move || hosts.create(&run_toml)).await;
    let created = created.map_err(|panic| {
        error!(%panic, "creating a run panicked");
        Problem::internal()
    })?;
    let prepared = Box::new(created.map_err(refused)?);
    let (run_id, name) = (prepared.facts.run_id, prepared.facts.run.name.clone());
    let hosted = app
        .actor
        .ask(|done| Message::Create { prepared, done })
        .await;
    hosted.map_err(|_gone| Problem::going_down())?;
    if start {
        order(&app, run_id, &name, Command::Start).await?;
    }
    Ok(name)
}

/// Whether one more run can be hosted.
pub(super) fn check_room(app: &App) -> Result<(), Problem> {
    if app.view.get().runs.len() < MAX_RUNS {
        return Ok(());
    }
    let detail =
        format!("The server has {MAX_RUNS} runs, as many as it takes; archive one that is over.");
    Err(Problem::conflict(Code::TooManyRuns, detail))
}

macro_rules! command {
    ($name:ident, $command:expr, $operation:literal, $path:literal, $summary:literal, $more:literal) => {
        #[doc = $summary]
        #[doc = ""]
        #[doc = $more]
        #[utoipa::path(
                            post, path = $path, tag = "runs", operation_id = $operation,
                            params(("name" = String, Path, description = "The run's name.")),
                            responses(
                                (status = 200, description = "The run.", body = AdminRunJson),
                                BadRequest, NotFound, Conflict, NotStored
                            )
                        )]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            Path(name): Path<String>,
            headers: HeaderMap,
        ) -> Result<Response, Problem> {
            command(&app, &headers, &name, $command).await
        }
    };
}

command!(
    start,
    Command::Start,
    "start_run",
    "/admin/runs/{name}/start",
    "Start a run.",
    "Hands out work: begins, or goes on after a pause."
);
command!(
    pause,
    Command::Pause,
    "pause_run",
    "/admin/runs/{name}/pause",
    "Pause a run.",
    "Hands out no more work until the run is resumed; a snapshot is taken."
);
command!(
    resume,
    Command::Resume,
    "resume_run",
    "/admin/runs/{name}/resume",
    "Resume a run.",
    "Goes on after a pause."
);
command!(
    stop,
    Command::Stop,
    "stop_run",
    "/admin/runs/{name}/stop",
    "Stop a run.",
    "For good; a snapshot is taken."
);

async fn command(
    app: &App,
    headers: &HeaderMap,
    name: &str,
    command: Command,
) -> Result<Response, Problem> {
    let run_id = app.view.get().run(name).map(|run| run.facts.run_id);
    order(app, run_id.ok_or_else(|| no_run(name))?, name, command).await?;
    answer(app, headers, name)
}

pub(super) async fn order(
    app: &App,
    run_id: RunId,
    name: &str,
    command: Command,
) -> Result<(), Problem> {
    let ordered = app
        .actor
        .ask(|done| Message::Command {
            run_id,
            command,
            done,
        })
        .await;
    let ordered = ordered.map_err(|_gone| Problem::going_down())?;
    let durable = ordered.map_err(|Forbidden { phase }| {
        let detail = format!("The run {name:?} is {phase}; {}.", possible(phase));
        Problem::conflict(Code::WrongPhase, detail)
    })?;
    // Whoever gave an order may rely on it after a power cut.
    durable.await.map_err(|_dropped| not_stored(name))
}

/// The order holds, but a power cut would undo it.
fn not_stored(name: &str) -> Problem {
    let detail = format!(
        "The order holds, but it could not be stored: see the storage_problem of the run {name:?}. It will be as soon as the disk takes it."
    );
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, Code::NotStored, detail)
}

fn possible(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Created => "it can be started or stopped",
        RunPhase::Running => "it can be paused or stopped",
        RunPhase::Paused => "it can be resumed or stopped",
        RunPhase::Finished | RunPhase::Stopped => "that is for good: create another run",
    }
}

/// Why a run can't be created.
pub(super) fn refused(error: CreateError) -> Problem {
    match error {
        CreateError::RunFile(error) => Problem::unprocessable(Code::BadRunFile, error.to_string()),
        CreateError::Exists { .. } => Problem::conflict(Code::NameTaken, error.to_string()),
        CreateError::Snapshots(SnapshotPlaceError::NotEmpty { .. }) => {
            Problem::conflict(Code::ObjectsExist, error.to_string())
        }
        CreateError::Ingest(IngestError::Store(_))
        | CreateError::Snapshots(_)
        | CreateError::Stored(_)
        | CreateError::RunStore(_)
            if !matches!(
                error,
                CreateError::RunStore(StoreError::NoSuchVersion { .. })
            ) =>
        {
            error!(%error, "run could not be stored");
            Problem::internal()
        }
        CreateError::RunStore(error) => Problem::new(
            StatusCode::NOT_FOUND,
            Code::NoSuchVersion,
            error.to_string(),
        ),
        CreateError::Snapshots(_) | CreateError::Stored(_) => Problem::internal(),
        CreateError::Initial(error) => {
            Problem::unprocessable(Code::BadParameters, error.to_string())
        }
        CreateError::Ingest(error) => Problem::unprocessable(Code::BadDataset, error.to_string()),
    }
}
