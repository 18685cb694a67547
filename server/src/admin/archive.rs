//! Runs that are put away.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::problems::{BadRequest, Conflict, NotFound};
use super::runs::{AdminRunJson, answer, check_room};
use super::versions::{blocking_io, facts};
use crate::actor::{Forbidden, Message, Order};
use crate::app::App;
use crate::extract::Path;
use crate::hosting::ArchiveError;
use crate::http::json;
use crate::problem::{Code, Problem};
use crate::view::RunFacts;

/// A run that was put away.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ArchivedJson {
    name: String,
}

/// List archived runs.
#[utoipa::path(
    get, path = "/admin/archive", tag = "runs", operation_id = "list_archive",
    responses((status = 200, description = "Their names, sorted.", body = Vec<ArchivedJson>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hosts = Arc::clone(&app.hosts);
    let names = blocking_io(move || hosts.archived())
        .await?
        .map_err(|error| refused(&error))?;
    let runs: Vec<_> = names
        .into_iter()
        .map(|name| ArchivedJson { name })
        .collect();
    Ok(json(&headers, &runs))
}

/// Archive a run.
///
/// One that is finished or stopped leaves memory and all lists; its files, its name and its credits stay, and it can be
/// restored.
#[utoipa::path(
    post, path = "/admin/runs/{name}/archive", tag = "runs", operation_id = "archive_run",
    params(("name" = String, Path, description = "The run's name.")),
    responses((status = 200, description = "It is archived.", body = ArchivedJson), BadRequest, NotFound, Conflict)
)]
pub(crate) async fn archive(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    // On a task of its own: a client that goes away must not leave it half done.
    let task = tokio::spawn(put_away(Arc::clone(&app), facts));
    task.await.map_err(|panic| {
        error!(%panic, "archiving panicked; restart the server");
        Problem::internal()
    })??;
    Ok(json(&headers, &ArchivedJson { name }))
}

async fn put_away(app: Arc<App>, facts: Arc<RunFacts>) -> Result<(), Problem> {
    let _one_at_a_time = app.creating.lock().await;
    let run_id = facts.run_id;
    let removed = app
        .actor
        .ask(|done| Message::Order(Order::Remove { run_id, done }))
        .await;
    let removed = removed.map_err(|_gone| Problem::going_down())?;
    let closed = removed.map_err(|Forbidden { phase }| {
        let detail = format!(
            "The run {:?} is {phase}; stop it first, and try again when all that it did is stored.",
            facts.run.name
        );
        Problem::conflict(Code::WrongPhase, detail)
    })?;
    // It is over, so all of its log is durable, whether or not closing it goes well.
    drop(closed.await);
    let hosts = Arc::clone(&app.hosts);
    blocking_io(move || hosts.archive(&facts))
        .await?
        .map_err(|error| refused(&error))
}

/// Restore an archived run.
#[utoipa::path(
    post, path = "/admin/archive/{name}/restore", tag = "runs", operation_id = "restore_run",
    params(("name" = String, Path, description = "The run's name.")),
    responses((status = 200, description = "The run.", body = AdminRunJson), BadRequest, NotFound, Conflict)
)]
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = tokio::spawn(take_back(Arc::clone(&app), name.clone()));
    task.await.map_err(|panic| {
        error!(%panic, "restoring a run panicked");
        Problem::internal()
    })??;
    answer(&app, &headers, &name)
}

async fn take_back(app: Arc<App>, name: String) -> Result<(), Problem> {
    let _one_at_a_time = app.creating.lock().await;
    check_room(&app)?;
    let hosts = Arc::clone(&app.hosts);
    let restored = blocking_io(move || hosts.unarchive(&name)).await?;
    let prepared = Box::new(restored.map_err(|error| refused(&error))?);
    let hosted = app
        .actor
        .ask(|done| Message::Create { prepared, done })
        .await;
    hosted.map_err(|_gone| Problem::going_down())
}

fn refused(error: &ArchiveError) -> Problem {
    match error {
        ArchiveError::Unknown { .. } => Problem::not_found(format!("{error}.")),
        ArchiveError::File { .. } | ArchiveError::Unusable { .. } => {
            error!(%error, "the archive can't be used");
            Problem::internal()
        }
    }
}
