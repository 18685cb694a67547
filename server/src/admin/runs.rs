//! Runs: create, list, command.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tabswarm_coordinator::RunPhase;
use tabswarm_coordinator::limits::MAX_RUNS;
use tabswarm_model::run_file::MAX_RUN_FILE_BYTES;
use tabswarm_protocol::RunId;
use tabswarm_store::StoreError;
use tracing::error;

use crate::actor::{Command, Forbidden, Message};
use crate::api::runs::no_run;
use crate::api::wire::RunStatusJson;
use crate::app::App;
use crate::dataset::IngestError;
use crate::hosting::CreateError;
use crate::http::json;
use crate::problem::Problem;
use crate::snapshot_place::SnapshotPlaceError;
use crate::view::RunView;

/// A run as the operator sees it.
#[derive(Debug, Serialize)]
struct AdminRunJson {
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

/// All runs.
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let view = app.view.get();
    let runs: Vec<_> = view.runs.iter().map(AdminRunJson::new).collect();
    json(&headers, &runs)
}

/// One run.
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
#[derive(Debug, Deserialize)]
pub(crate) struct CreateQuery {
    #[serde(default)]
    start: bool,
}

/// Creates a run from a run file.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    query: Result<Query<CreateQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Query(CreateQuery { start }) = query.map_err(|error| bad_run_file(error.to_string()))?;
    let text = run_file_text(body)?;
    // On a task of its own: a client that goes away must not leave a run that is stored but not hosted.
    let task = tokio::spawn(host(Arc::clone(&app), text, start));
    let name = task.await.map_err(|panic| {
        error!(%panic, "creating a run panicked");
        Problem::internal()
    })??;
    let answer = answer(&app, &headers, &name)?;
    Ok((StatusCode::CREATED, answer).into_response())
}

/// The run file in a body.
pub(super) fn run_file_text(body: Result<Bytes, BytesRejection>) -> Result<String, Problem> {
    let body = body.map_err(|rejection| {
        let detail = format!("The run file can't be read: {rejection}. At most {MAX_RUN_FILE_BYTES} bytes are allowed.");
        Problem::new(rejection.status(), "bad_body", "Unreadable run file", detail)
    })?;
    String::from_utf8(body.into())
        .map_err(|error| bad_run_file(format!("the run file is not UTF-8: {error}")))
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
    let detail = format!("The server has {MAX_RUNS} runs, as many as it takes.");
    Err(Problem::new(
        StatusCode::CONFLICT,
        "too_many_runs",
        "Too many runs",
        detail,
    ))
}

/// Starts, pauses, resumes or stops a run.
pub(crate) async fn command(
    State(app): State<Arc<App>>,
    Path((name, verb)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let command = match verb.as_str() {
        "start" => Command::Start,
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "stop" => Command::Stop,
        _ => {
            let detail =
                format!("{verb:?} is no command; there are start, pause, resume and stop.");
            return Err(Problem::not_found(detail));
        }
    };
    let run_id = app.view.get().run(&name).map(|run| run.facts.run_id);
    order(&app, run_id.ok_or_else(|| no_run(&name))?, &name, command).await?;
    answer(&app, &headers, &name)
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
        Problem::new(
            StatusCode::CONFLICT,
            "wrong_phase",
            "Not possible now",
            detail,
        )
    })?;
    // Whoever gave an order may rely on it after a power cut.
    durable.await.map_err(|_dropped| not_stored(name))
}

/// The order holds, but a power cut would undo it.
fn not_stored(name: &str) -> Problem {
    let detail = format!(
        "The order holds, but it could not be stored: see the storage_problem of the run {name:?}. It will be as soon as the disk takes it."
    );
    Problem::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "not_stored",
        "Not stored yet",
        detail,
    )
}

fn possible(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Created => "it can be started or stopped",
        RunPhase::Running => "it can be paused or stopped",
        RunPhase::Paused => "it can be resumed or stopped",
        RunPhase::Finished | RunPhase::Stopped => "that is for good: create another run",
    }
}

pub(super) fn bad_run_file(detail: String) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_run_file",
        "Bad run file",
        detail,
    )
}

/// Why a run can't be created.
pub(super) fn refused(error: CreateError) -> Problem {
    match error {
        CreateError::RunFile(error) => bad_run_file(error.to_string()),
        CreateError::Exists { .. } => Problem::new(
            StatusCode::CONFLICT,
            "name_taken",
            "Name taken",
            error.to_string(),
        ),
        CreateError::Snapshots(SnapshotPlaceError::NotEmpty { .. }) => Problem::new(
            StatusCode::CONFLICT,
            "objects_exist",
            "Objects exist",
            error.to_string(),
        ),
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
            "no_such_version",
            "No such version",
            error.to_string(),
        ),
        CreateError::Snapshots(_) | CreateError::Stored(_) => Problem::internal(),
        CreateError::Initial(error) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let title = "Unusable parameters";
            Problem::new(status, "bad_parameters", title, error.to_string())
        }
        CreateError::Ingest(error) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(
                status,
                "bad_dataset",
                "Unusable data set",
                error.to_string(),
            )
        }
    }
}
