//! Runs and their histories.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::wire::{HistoryJson, RunStatusJson, SnapshotJson};
use crate::app::App;
use crate::http::json;
use crate::problem::Problem;

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
#[derive(Debug, Deserialize)]
pub(crate) struct After {
    #[serde(default)]
    after: u64,
}

/// Loss curve and evaluations.
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    query: Result<Query<After>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(After { after }) =
        query.map_err(|error| Problem::bad_query(format!("{error}; `after` is a version")))?;
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

/// There is no run of this name.
pub(crate) fn no_run(name: &str) -> Problem {
    Problem::not_found(format!("There is no run named {name:?}."))
}
