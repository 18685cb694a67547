//! Snapshots: list, download, pin, delete.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{ParamVersion, RunId};
use tabswarm_store::{SnapshotId, SnapshotInfo, StoreError};
use tracing::error;
use utoipa::ToSchema;

use super::problems::{BadRequest, Conflict, NotFound};
use super::versions::{blocking_io, facts};
use crate::actor::{Message, Order};
use crate::api::runs::no_run;
use crate::app::App;
use crate::extract::Path;
use crate::http::json;
use crate::problem::{Code, Problem};
use crate::view::RunFacts;

/// A snapshot.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SnapshotJson {
    version: u64,
    #[schema(value_type = String)]
    params_digest: Digest,
    /// Of its safetensors file.
    bytes: u64,
    /// When it was made, in milliseconds since 1970; null where an older version of the server stored it.
    made_ms: Option<u64>,
    eval_accuracy: Option<f64>,
    /// Whether there is a copy that stays until it is unpinned.
    pinned: bool,
    /// Whether it is one that the run can go back to, and not only a pinned copy.
    kept: bool,
}

/// List snapshots.
///
/// Newest first, with pinned copies.
#[utoipa::path(
    get, path = "/admin/runs/{name}/snapshots", tag = "snapshots", operation_id = "list_snapshots",
    params(("name" = String, Path, description = "The run's name.")),
    responses((status = 200, description = "The snapshots.", body = Vec<SnapshotJson>), BadRequest, NotFound)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(json(&headers, &all(&app, &name).await?))
}

/// Download a snapshot.
///
/// As a safetensors file: parameters and optimizer, under the names of the layout.
#[utoipa::path(
    get, path = "/admin/runs/{name}/snapshots/{version}", tag = "snapshots", operation_id = "download_snapshot",
    params(
        ("name" = String, Path, description = "The run's name."),
        ("version" = u64, Path, description = "The snapshot's version."),
    ),
    responses(
        (status = 200, description = "The file.", content_type = "application/octet-stream", body = [u8]),
        BadRequest, NotFound
    )
)]
pub(crate) async fn download(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    let read = blocking_io(move || facts.store.snapshots().file(ParamVersion(version))).await?;
    let bytes = read.map_err(|error| missing(&name, version, &error))?;
    let disposition = format!("attachment; filename=\"{name}-v{version}.safetensors\"");
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Pin a snapshot.
///
/// A copy stays until it is unpinned, also where a rollback discards its version: for downloads and forks.
#[utoipa::path(
    put, path = "/admin/runs/{name}/snapshots/{version}/pin", tag = "snapshots", operation_id = "pin_snapshot",
    params(
        ("name" = String, Path, description = "The run's name."),
        ("version" = u64, Path, description = "The snapshot's version."),
    ),
    responses((status = 200, description = "The snapshot.", body = SnapshotJson), BadRequest, NotFound)
)]
pub(crate) async fn pin(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    let found = find(&all(&app, &name).await?, &name, version)?.pinned;
    if !found {
        let kept = kept(&app, &name, version);
        let info = *kept.first().ok_or_else(|| no_snapshot(&name, version))?;
        let pinned = blocking_io(move || facts.store.snapshots().pin(info.id)).await?;
        pinned.map_err(|error| missing(&name, version, &error))?;
    }
    let listed = all(&app, &name).await?;
    Ok(json(&headers, find(&listed, &name, version)?))
}

/// Unpin a snapshot.
#[utoipa::path(
    delete, path = "/admin/runs/{name}/snapshots/{version}/pin", tag = "snapshots", operation_id = "unpin_snapshot",
    params(
        ("name" = String, Path, description = "The run's name."),
        ("version" = u64, Path, description = "The snapshot's version."),
    ),
    responses((status = 200, description = "What it was.", body = SnapshotJson), BadRequest, NotFound)
)]
pub(crate) async fn unpin(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = facts(&app, &name)?;
    let listed = all(&app, &name).await?;
    let was = find(&listed, &name, version)?;
    let unpinned = blocking_io(move || {
        let snapshots = facts.store.snapshots();
        let pinned = snapshots.pinned()?;
        let mut of_version = pinned.iter().filter(|info| info.id.version == version);
        of_version.try_for_each(|info| snapshots.unpin(info.id))
    });
    unpinned
        .await?
        .map_err(|error| missing(&name, version, &error))?;
    Ok(json(&headers, was))
}

/// Delete a snapshot.
///
/// The newest one stays, because without it the run would lose what it did since the one before; so does a pinned copy.
#[utoipa::path(
    delete, path = "/admin/runs/{name}/snapshots/{version}", tag = "snapshots", operation_id = "delete_snapshot",
    params(
        ("name" = String, Path, description = "The run's name."),
        ("version" = u64, Path, description = "The snapshot's version."),
    ),
    responses((status = 200, description = "What it was.", body = SnapshotJson), BadRequest, NotFound, Conflict)
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run_id = facts(&app, &name)?.run_id;
    let listed = all(&app, &name).await?;
    let was = find(&listed, &name, version)?;
    if was.pinned {
        let detail = format!("The snapshot of version {version} is pinned; unpin it first.");
        return Err(Problem::conflict(Code::InUse, detail));
    }
    let infos = kept(&app, &name, version);
    if infos.is_empty() {
        return Err(no_snapshot(&name, version));
    }
    // Newest first: where one of them is the run's newest, nothing is removed.
    for info in infos {
        remove(&app, run_id, &name, info.id).await?;
    }
    Ok(json(&headers, was))
}

async fn remove(app: &App, run_id: RunId, name: &str, id: SnapshotId) -> Result<(), Problem> {
    let removed = app
        .actor
        .ask(|done| Message::Order(Order::RemoveSnapshot { run_id, id, done }))
        .await;
    match removed.map_err(|_gone| Problem::going_down())? {
        Ok(true) => Ok(()),
        Ok(false) => {
            let version = id.version;
            let detail = format!(
                "The snapshot of version {version} is the run's newest one, which it goes on from after a restart."
            );
            Err(Problem::conflict(Code::InUse, detail))
        }
        Err(problem) => {
            error!(run = name, problem, "a snapshot can't be removed");
            Err(Problem::internal())
        }
    }
}

/// All snapshots of a run and all pinned copies, newest first, one for each version.
async fn all(app: &App, name: &str) -> Result<Vec<SnapshotJson>, Problem> {
    let facts = facts(app, name)?;
    let pinned = pinned(name, facts).await?;
    let view = app.view.get();
    let run = view.run(name).ok_or_else(|| no_run(name))?;
    let mut all: Vec<SnapshotJson> = Vec::new();
    for info in run.snapshots.iter().chain(&pinned) {
        let is_it = |other: &SnapshotInfo| other.id.version == info.id.version;
        if all.iter().all(|other| other.version != info.id.version) {
            all.push(SnapshotJson {
                version: info.id.version,
                params_digest: info.params_digest,
                bytes: info.bytes,
                made_ms: info.made_ms,
                eval_accuracy: run
                    .history
                    .eval_of(info.id.version)
                    .map(|eval| eval.accuracy),
                pinned: pinned.iter().any(is_it),
                kept: run.snapshots.iter().any(is_it),
            });
        }
    }
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.version));
    Ok(all)
}

async fn pinned(name: &str, facts: Arc<RunFacts>) -> Result<Vec<SnapshotInfo>, Problem> {
    let read = blocking_io(move || facts.store.snapshots().pinned()).await?;
    read.map_err(|error| {
        error!(run = name, %error, "pinned snapshots can't be read");
        Problem::internal()
    })
}

/// All snapshots of a version that are no pinned copies, newest first: a run that rests before and after its settings
/// change has two of the same version.
fn kept(app: &App, name: &str, version: u64) -> Vec<SnapshotInfo> {
    let view = app.view.get();
    let all = view.run(name).map(|run| &run.snapshots);
    let all = all.into_iter().flat_map(|snapshots| snapshots.iter());
    all.filter(|info| info.id.version == version)
        .copied()
        .collect()
}

fn find<'a>(
    all: &'a [SnapshotJson],
    name: &str,
    version: u64,
) -> Result<&'a SnapshotJson, Problem> {
    let found = all.iter().find(|snapshot| snapshot.version == version);
    found.ok_or_else(|| no_snapshot(name, version))
}

fn missing(name: &str, version: u64, problem: &StoreError) -> Problem {
    match problem {
        // It may have been removed just now.
        StoreError::NoSuchVersion { .. } | StoreError::Damaged { .. } => no_snapshot(name, version),
        _ => {
            error!(run = name, %problem, "a snapshot can't be read or written");
            Problem::internal()
        }
    }
}

fn no_snapshot(name: &str, version: u64) -> Problem {
    let detail = format!(
        "The run {name:?} has no whole snapshot of version {version}; `tabswarm snapshot list {name}` shows what it has."
    );
    Problem::not_found(detail)
}
