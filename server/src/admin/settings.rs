//! Other settings for a run: the next version is made with them, and the log says so.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tabswarm_coordinator::{RunPhase, SettingsError};
use tabswarm_model::Run;
use tabswarm_store::ChangeError;
use tracing::error;

use super::problems::{BadRequest, Conflict, NotFound, NotStored, TooLarge, Unprocessable};
use super::runs::{AdminRunJson, answer, order};
use super::versions::{blocking_io, facts, work_on_files};
use crate::actor::Command;
use crate::app::App;
use crate::extract::{Path, Text};
use crate::hosting::SettingsChangeError;
use crate::problem::{Code, Problem};
use crate::view::RunFacts;

/// Change a run's settings.
///
/// The run gets those of a run file from its version on. A running one is paused for that and goes on afterwards, whether
/// or not they could be changed.
#[utoipa::path(
    put, path = "/admin/runs/{name}/run.toml", tag = "runs", operation_id = "change_run",
    params(("name" = String, Path, description = "The run's name.")),
    request_body(content = String, content_type = "application/toml", description = "The run file with the new settings."),
    responses(
        (status = 200, description = "The run.", body = AdminRunJson),
        BadRequest, NotFound, Conflict, TooLarge, Unprocessable, NotStored
    )
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<Response, Problem> {
    let to = Run::from_toml(&text)
        .map_err(|error| Problem::unprocessable(Code::BadRunFile, error.to_string()))?;
    let facts = facts(&app, &name)?;
    // On a task of its own: a client that goes away must not leave the run without its log, or paused.
    let task = tokio::spawn(change_at_rest(Arc::clone(&app), facts, to));
    task.await.map_err(|panic| {
        error!(%panic, "changing settings panicked; restart the server");
        Problem::internal()
    })??;
    answer(&app, &headers, &name)
}

async fn change_at_rest(app: Arc<App>, facts: Arc<RunFacts>, to: Run) -> Result<(), Problem> {
    let (run_id, name) = (facts.run_id, facts.run.name.clone());
    let view = app.view.get();
    let was_running = (view.run(&name)).is_some_and(|run| run.status.phase == RunPhase::Running);
    if was_running {
        order(&app, run_id, &name, Command::Pause).await?;
    }
    let (hosts, run) = (Arc::clone(&app.hosts), Arc::clone(&facts));
    let work = async move {
        let changed = blocking_io(move || hosts.change(&run, &to)).await?;
        changed.map_err(|error| refused(&error))
    };
    let outcome = work_on_files(&app, facts, work).await;
    if was_running {
        order(&app, run_id, &name, Command::Resume).await?;
    }
    outcome
}

fn refused(error: &SettingsChangeError) -> Problem {
    let SettingsChangeError::Change(ChangeError::Settings(reason)) = error else {
        error!(%error, "settings could not be stored");
        return Problem::internal();
    };
    let detail = reason.to_string();
    match reason {
        SettingsError::RunFile(_) | SettingsError::NothingLeft { .. } => {
            Problem::unprocessable(Code::BadRunFile, detail)
        }
        SettingsError::Phase { .. } => Problem::conflict(Code::WrongPhase, detail),
        SettingsError::TooMany | SettingsError::TooManyMissing { .. } => {
            Problem::conflict(Code::SettingsKept, detail)
        }
    }
}
