//! Versions of a run: digests, going back, and going on as another run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tabswarm_coordinator::RunPhase;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{ParamVersion, RunId};
use tabswarm_store::StoreError;
use tokio::time::sleep;
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::problems::{BadRequest, Conflict, NotFound, Unprocessable};
use super::runs::{AdminRunJson, answer, refused};
use crate::actor::{Durable, Forbidden, Message};
use crate::api::runs::no_run;
use crate::app::App;
use crate::extract::{Path, Query};
use crate::hosting::Hosts;
use crate::http::json;
use crate::limits::{DETACH_PATIENCE, DETACH_RETRY};
use crate::problem::{Code, Problem};
use crate::snapshot_place::SnapshotPlaceError;
use crate::view::RunFacts;

/// A version that can be restored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionJson {
    version: u64,
    /// Of its parameters.
    #[schema(value_type = String)]
    params_digest: Digest,
}

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionQuery {
    /// One that can be restored; the newest if left out.
    version: Option<u64>,
}

/// Where to go back to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackQuery {
    /// The version.
    to: u64,
}

/// The new run.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForkQuery {
    /// The new run's name.
    name: String,
    /// The version; the newest if left out.
    at: Option<u64>,
}

/// List versions.
///
/// All that can be restored, oldest first.
#[utoipa::path(
    get, path = "/admin/runs/{name}/versions", tag = "runs", operation_id = "list_versions",
    params(("name" = String, Path, description = "The run's name.")),
    responses((status = 200, description = "The versions.", body = Vec<VersionJson>), BadRequest, NotFound)
)]
pub(crate) async fn versions(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    let all: Vec<VersionJson> = read_versions(&name, facts)
        .await?
        .into_iter()
        .map(|(version, params_digest)| VersionJson {
            version: version.0,
            params_digest,
        })
        .collect();
    Ok(json(&headers, &all))
}

/// Read a digest.
///
/// That of the newest version's parameters, or of those of one that can be restored.
#[utoipa::path(
    get, path = "/admin/runs/{name}/digest", tag = "runs", operation_id = "digest",
    params(("name" = String, Path, description = "The run's name."), VersionQuery),
    responses((status = 200, description = "The digest.", body = VersionJson), BadRequest, NotFound)
)]
pub(crate) async fn digest(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(VersionQuery { version }): Query<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let status = &view.run(&name).ok_or_else(|| no_run(&name))?.status;
    let version = version.unwrap_or(status.version.0);
    let params_digest = if version == status.version.0 {
        status.params_digest
    } else {
        let all = read_versions(&name, facts(&app, &name)?).await?;
        let found = all.get(&ParamVersion(version)).copied();
        found.ok_or_else(|| no_version(&name, version))?
    };
    Ok(json(
        &headers,
        &VersionJson {
            version,
            params_digest,
        },
    ))
}

async fn read_versions(
    name: &str,
    facts: Arc<RunFacts>,
) -> Result<BTreeMap<ParamVersion, Digest>, Problem> {
    blocking(name, move || facts.store.versions(&facts.base)).await
}

/// Roll a run back.
///
/// A run that is not running goes back to an earlier version. Samples stay credited.
#[utoipa::path(
    post, path = "/admin/runs/{name}/rollback", tag = "runs", operation_id = "roll_back_run",
    params(("name" = String, Path, description = "The run's name."), RollbackQuery),
    responses((status = 200, description = "The run.", body = AdminRunJson), BadRequest, NotFound, Conflict)
)]
pub(crate) async fn roll_back(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(RollbackQuery { to }): Query<RollbackQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    // On a task of its own: a client that goes away must not leave the run without its log.
    let task = tokio::spawn(take_back(Arc::clone(&app), facts, ParamVersion(to)));
    task.await.map_err(|panic| {
        error!(%panic, "rolling back panicked; restart the server");
        Problem::internal()
    })??;
    answer(&app, &headers, &name)
}

async fn take_back(app: Arc<App>, facts: Arc<RunFacts>, to: ParamVersion) -> Result<(), Problem> {
    let (hosts, run) = (Arc::clone(&app.hosts), Arc::clone(&facts));
    let name = facts.run.name.clone();
    let work = async move { blocking(&name, move || hosts.roll_back(&run, to)).await };
    work_on_files(&app, facts, work).await
}

/// Takes a resting run's files away from the coordinator's thread, lets `work` change them, and gives the run back
/// as they say it is then.
pub(super) async fn work_on_files(
    app: &App,
    facts: Arc<RunFacts>,
    work: impl Future<Output = Result<(), Problem>>,
) -> Result<(), Problem> {
    let (run_id, name) = (facts.run_id, facts.run.name.clone());
    let closed = detach(app, run_id, &name).await?;
    // Dropped where the log can't be written: then its files can't be worked on either.
    let outcome = if closed.await.is_ok() {
        work.await
    } else {
        Err(Problem::internal())
    };
    let hosts = Arc::clone(&app.hosts);
    let reopened = blocking(&name, move || Hosts::reopen(&hosts, &facts)).await?;
    let reopened = Box::new(reopened);
    app.actor
        .ask(|done| Message::Attach {
            run_id,
            reopened,
            done,
        })
        .await
        .map_err(|_gone| Problem::going_down())?;
    outcome
}

/// Takes a resting run's files away from the coordinator's thread. A run that has just come to rest may still be
/// writing its last snapshot: that is waited for.
async fn detach(app: &App, run_id: RunId, name: &str) -> Result<Durable, Problem> {
    let patient_until = Instant::now() + DETACH_PATIENCE;
    loop {
        let detached = app
            .actor
            .ask(|done| Message::Detach { run_id, done })
            .await
            .map_err(|_gone| Problem::going_down())?;
        match detached {
            Ok(closed) => return Ok(closed),
            Err(Forbidden { phase })
                if phase == RunPhase::Running || Instant::now() > patient_until =>
            {
                return Err(busy(name, phase));
            }
            Err(_) => sleep(DETACH_RETRY).await,
        }
    }
}

/// Fork a run.
///
/// Begins another run at a version of this one: with its parameters and optimizer, without credits.
#[utoipa::path(
    post, path = "/admin/runs/{name}/fork", tag = "runs", operation_id = "fork_run",
    params(("name" = String, Path, description = "The run's name."), ForkQuery),
    responses(
        (status = 201, description = "The new run.", body = AdminRunJson),
        BadRequest, NotFound, Conflict, Unprocessable
    )
)]
pub(crate) async fn fork(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(ForkQuery { name: new_name, at }): Query<ForkQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let newest = app.view.get();
    let newest = newest.run(&name).ok_or_else(|| no_run(&name))?;
    let at = ParamVersion(at.unwrap_or(newest.status.version.0));
    let facts = Arc::clone(&newest.facts);
    // On a task of its own: a client that goes away must not leave a run that is stored but not hosted.
    let task = tokio::spawn(branch(Arc::clone(&app), facts, at, new_name));
    let new_name = task.await.map_err(|panic| {
        error!(%panic, "forking panicked");
        Problem::internal()
    })??;
    Ok((StatusCode::CREATED, answer(&app, &headers, &new_name)?).into_response())
}

async fn branch(
    app: Arc<App>,
    facts: Arc<RunFacts>,
    at: ParamVersion,
    new_name: String,
) -> Result<String, Problem> {
    let _one_at_a_time = app.creating.lock().await;
    super::runs::check_room(&app)?;
    let hosts = Arc::clone(&app.hosts);
    let forked = tokio::task::spawn_blocking(move || hosts.fork(&facts, at, &new_name)).await;
    let forked = forked.map_err(|panic| {
        error!(%panic, "forking panicked");
        Problem::internal()
    })?;
    let prepared = Box::new(forked.map_err(refused)?);
    let name = prepared.facts.run.name.clone();
    let hosted = app.actor.ask(|done| Message::Create { prepared, done });
    hosted.await.map_err(|_gone| Problem::going_down())?;
    Ok(name)
}

/// What of a run changes only with its settings.
pub(super) fn facts(app: &App, name: &str) -> Result<Arc<RunFacts>, Problem> {
    let view = app.view.get();
    let run = view.run(name).ok_or_else(|| no_run(name))?;
    Ok(Arc::clone(&run.facts))
}

/// Works on a run's files away from the network's threads.
async fn blocking<T: Send + 'static, E: Into<SnapshotPlaceError> + Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(|| work().map_err(Into::into)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(SnapshotPlaceError::Run(StoreError::NoSuchVersion { version, .. }))) => {
            Err(no_version(name, version))
        }
        Ok(Err(error)) => {
            error!(run = name, %error, "the run's files can't be used");
            Err(Problem::internal())
        }
        Err(panic) => {
            error!(run = name, %panic, "work on the run's files panicked");
            Err(Problem::internal())
        }
    }
}

/// Works on files away from the network's threads.
pub(super) async fn blocking_io<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| {
        error!(%panic, "work on files panicked");
        Problem::internal()
    })
}

/// There is no way back to this version.
pub(crate) fn no_version(name: &str, version: u64) -> Problem {
    let detail = format!(
        "Version {version} of the run {name:?} can't be restored; `tabswarm run versions {name}` lists those that can."
    );
    Problem::new(StatusCode::NOT_FOUND, Code::NoSuchVersion, detail)
}

fn busy(name: &str, phase: RunPhase) -> Problem {
    let detail = format!(
        "The run {name:?} is {phase}; pause it first, and try again when all that it did is stored."
    );
    Problem::conflict(Code::WrongPhase, detail)
}
