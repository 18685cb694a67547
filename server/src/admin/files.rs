//! What the public listener serves, too, for operators who reach only this one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::problems::{BadRequest, NotFound};
use crate::api::runs::After;
use crate::api::{blobs, runs};
use crate::app::App;
use crate::export::{ExportQuery, of_any_run};
use crate::extract::{Path, Query};
use crate::problem::Problem;

/// Read a run file.
///
/// As JSON with all defaults filled in, as workers get it.
#[utoipa::path(
    get, path = "/admin/runs/{name}/run.json", tag = "runs", operation_id = "run_file",
    params(("name" = String, Path, description = "The run's name.")),
    responses(
        (status = 200, description = "The run file.", content_type = "application/json", body = serde_json::Value),
        BadRequest, NotFound
    )
)]
pub(crate) async fn run_json(
    state: State<Arc<App>>,
    path: Path<String>,
) -> Result<Response, Problem> {
    runs::run_json(state, path).await
}

/// Read a run's curves.
///
/// The training loss of steps and the evaluations, as far as they are kept.
#[utoipa::path(
    get, path = "/admin/runs/{name}/history", tag = "runs", operation_id = "run_history",
    params(("name" = String, Path, description = "The run's name."), After),
    responses(
        (status = 200, description = "The curves.", content_type = "application/json", body = serde_json::Value),
        BadRequest, NotFound
    )
)]
pub(crate) async fn history(
    state: State<Arc<App>>,
    path: Path<String>,
    query: Query<After>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    runs::history(state, path, query, headers).await
}

/// Read parameters.
///
/// Those of a current or recent version, or of a snapshot, as little-endian `f32` in the order of the layout.
#[utoipa::path(
    get, path = "/admin/params/{digest}", tag = "snapshots", operation_id = "params",
    params(("digest" = String, Path, description = "Their digest.")),
    responses(
        (status = 200, description = "The parameters.", content_type = "application/octet-stream", body = [u8]),
        BadRequest, NotFound
    )
)]
pub(crate) async fn params(
    state: State<Arc<App>>,
    path: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    blobs::params(state, path, headers).await
}

/// Read a manifest.
///
/// That of a run's training set: which chunks it has.
#[utoipa::path(
    get, path = "/admin/manifests/{digest}", tag = "data sets", operation_id = "manifest",
    params(("digest" = String, Path, description = "The manifest's digest.")),
    responses(
        (status = 200, description = "The manifest.", content_type = "application/json", body = serde_json::Value),
        BadRequest, NotFound
    )
)]
pub(crate) async fn manifest(
    state: State<Arc<App>>,
    path: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    blobs::dataset(state, path, headers).await
}

/// Export a model.
///
/// As safetensors or ONNX, or its card alone.
#[utoipa::path(
    get, path = "/admin/runs/{name}/export", tag = "snapshots", operation_id = "export_run",
    params(("name" = String, Path, description = "The run's name."), ExportQuery),
    responses(
        (status = 200, description = "The file.", content_type = "application/octet-stream", body = [u8]),
        BadRequest, NotFound
    )
)]
pub(crate) async fn export(
    state: State<Arc<App>>,
    path: Path<String>,
    query: Query<ExportQuery>,
) -> Result<Response, Problem> {
    of_any_run(state, path, query).await
}
