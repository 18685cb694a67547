//! Whether all is well, and counters.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::json;
use crate::view::RunView;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthJson)]
pub(crate) struct HealthJson<'a> {
    status: Wellness,
    /// Whether it takes requests and workers.
    ready: bool,
    /// Why it is degraded: runs whose logs can't be written.
    reasons: Vec<ReasonJson<'a>>,
    ledger: LedgerJson<'a>,
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Wellness {
    /// It is.
    Ok,
    /// Something can't be done at present, and a reason says what.
    Degraded,
}

/// How the ledger is.
#[derive(Debug, Serialize, ToSchema)]
struct LedgerJson<'a> {
    status: Wellness,
    /// Why nothing can be written to it, with what to do.
    reason: Option<&'a str>,
    records_waiting: usize,
    /// Events that were lost since the start.
    records_dropped: u64,
    /// Runs whose credits are about to be taken from them again.
    out_of_step: Vec<&'a str>,
}

/// Why a run is degraded.
#[derive(Debug, Serialize, ToSchema)]
struct ReasonJson<'a> {
    run: &'a str,
    reason: &'a str,
    /// Committed steps that a crash would take back.
    undurable_steps: usize,
}

/// Tell what is wrong.
///
/// It answers while it is degraded, too: reads go on, and so does training without a ledger. `/livez` and `/readyz`
/// tell supervisors less, without a token.
#[utoipa::path(
    get, path = "/admin/health", tag = "server", operation_id = "health",
    responses((status = 200, description = "How the server is.", body = HealthJson<'_>))
)]
pub(crate) async fn health(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let view = app.view.get();
    let reasons: Vec<_> = view.runs.iter().filter_map(reason_of).collect();
    let ledger = app.ledger.status();
    let is_well = reasons.is_empty() && ledger.degraded.is_none();
    let answer = HealthJson {
        status: wellness(is_well),
        ready: app.is_ready(),
        reasons,
        ledger: LedgerJson {
            status: wellness(ledger.degraded.is_none()),
            reason: ledger.degraded.as_deref(),
            records_waiting: ledger.records_waiting,
            records_dropped: ledger.records_dropped,
            out_of_step: view
                .runs
                .iter()
                .filter(|run| ledger.out_of_step.contains(&run.facts.run_id))
                .map(|run| &*run.facts.run.name)
                .collect(),
        },
    };
    json(&headers, &answer)
}

fn wellness(is_well: bool) -> Wellness {
    if is_well {
        Wellness::Ok
    } else {
        Wellness::Degraded
    }
}

fn reason_of(run: &RunView) -> Option<ReasonJson<'_>> {
    Some(ReasonJson {
        run: &run.facts.run.name,
        reason: run.status.degraded.as_deref()?,
        undurable_steps: run.status.undurable_steps,
    })
}

/// Read counters.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "metrics",
    responses((status = 200, description = "Counters for Prometheus.", content_type = "text/plain", body = String))
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    let text = app.metrics.expose(&app.view.get(), &app.ledger.status());
    (content_type, text).into_response()
}

/// For supervisors: whether all is well. It answers, so it serves: reads go on while the disk refuses writes.
pub(crate) async fn well(State(app): State<Arc<App>>) -> &'static str {
    let view = app.view.get();
    let degraded = view.runs.iter().any(|run| run.status.degraded.is_some())
        || app.ledger.status().degraded.is_some();
    if degraded { "degraded" } else { "ok" }
}

/// For supervisors: it answers, so it lives.
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// For supervisors and load balancers: whether new workers may come.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "going down")
    }
}
