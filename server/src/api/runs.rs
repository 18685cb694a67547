//! Runs and their histories.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::blobs;
use super::wire::{HistoryJson, RunStatusJson, SnapshotJson};
use crate::app::App;
use crate::dataset::brotli;
use crate::extract::{Path, Query};
use crate::http::json;
use crate::problem::Problem;

/// Half a second for a megabyte, once a start; the sizes hardly differ above.
const EXAMPLES_QUALITY: u32 = 6;

/// All runs.
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let view = app.view.get();
    let runs: Vec<_> = view.runs.iter().map(RunStatusJson::new).collect();
    json(&headers, &runs)
}

/// One run.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(&name).ok_or_else(|| no_run(&name))?;
    Ok(json(&headers, &RunStatusJson::new(run)))
}

/// The run file as workers parse it.
pub(crate) async fn run_json(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(&name).ok_or_else(|| no_run(&name))?;
    let fixed = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((fixed, run.facts.run_json.clone()).into_response())
}

/// Which part of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// What is later than this version; all if left out.
    #[serde(default)]
    after: u64,
}

/// Loss curve and evaluations.
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(&name).ok_or_else(|| no_run(&name))?;
    Ok(json(&headers, &HistoryJson::after(run, after)))
}

/// Snapshots, newest first.
pub(crate) async fn snapshots(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(&name).ok_or_else(|| no_run(&name))?;
    let list: Vec<_> = run
        .snapshots
        .iter()
        .map(|info| SnapshotJson::new(info, run))
        .collect();
    Ok(json(&headers, &list))
}

/// Some samples of the test set with their labels, as a chunk, for "Try the model".
pub(crate) async fn examples(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = app.view.get();
    let run = view.run(&name).ok_or_else(|| no_run(&name))?;
    let Some((digest, bytes)) = run.facts.examples.clone() else {
        let detail = "This run has no examples: its samples are no pictures with a class each.";
        return Err(Problem::not_found(detail));
    };
    // Compressed once, then served from the cache.
    let key = format!("examples/{digest}.br");
    let compressed = match app.blobs.get(&key) {
        Some(compressed) => compressed,
        None => {
            let plain = bytes.clone();
            let work = tokio::task::spawn_blocking(move || brotli(&plain, EXAMPLES_QUALITY));
            let compressed = Bytes::from(work.await.map_err(|_panic| Problem::internal())?);
            app.blobs.put(key, compressed.clone());
            compressed
        }
    };
    let mut response = blobs::compressible(&headers, digest, bytes, compressed);
    // The address is a run's, not the content's.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// There is no run of this name.
pub(crate) fn no_run(name: &str) -> Problem {
    Problem::not_found(format!("There is no run named {name:?}."))
}
