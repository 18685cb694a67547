//! What only the operator may do. Every address but `/healthz` asks for the token.

pub(crate) mod console;
pub(crate) mod ledger;
pub(crate) mod runs;
pub(crate) mod settings;
pub(crate) mod versions;
pub(crate) mod workers;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use serde::Serialize;

use crate::app::App;
use crate::http::json;
use crate::problem::Problem;
use crate::view::RunView;

/// Lets requests with the token pass.
pub(crate) async fn require_token(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if app.guard.admits(request.headers()) {
        return next.run(request).await;
    }
    let detail = "Send the admin token as `Authorization: Bearer TOKEN`; it is in the data directory's \
                  file admin-token unless TABSWARM_ADMIN_TOKEN is set for the server.";
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Unauthorized",
        detail,
    );
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

#[derive(Serialize)]
struct HealthJson<'a> {
    status: &'static str,
    reasons: Vec<ReasonJson<'a>>,
    ledger: LedgerJson<'a>,
}

#[derive(Serialize)]
struct LedgerJson<'a> {
    status: &'static str,
    /// Why nothing can be written to it, with what to do.
    reason: Option<&'a str>,
    records_waiting: usize,
    /// Events that were lost since the start.
    records_dropped: u64,
    /// Runs whose credits are about to be taken from them again.
    out_of_step: Vec<&'a str>,
}

#[derive(Serialize)]
struct ReasonJson<'a> {
    run: &'a str,
    reason: &'a str,
    /// Committed steps that a crash would take back.
    undurable_steps: usize,
}

/// What is wrong, if anything.
pub(crate) async fn health(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let view = app.view.get();
    let reasons: Vec<_> = view.runs.iter().filter_map(reason_of).collect();
    let ledger = app.ledger.status();
    let is_well = reasons.is_empty() && ledger.degraded.is_none();
    let answer = HealthJson {
        status: word(is_well),
        reasons,
        ledger: LedgerJson {
            status: word(ledger.degraded.is_none()),
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

fn word(is_well: bool) -> &'static str {
    if is_well { "ok" } else { "degraded" }
}

fn reason_of(run: &RunView) -> Option<ReasonJson<'_>> {
    Some(ReasonJson {
        run: &run.facts.run.name,
        reason: run.status.degraded.as_deref()?,
        undurable_steps: run.status.undurable_steps,
    })
}

/// Counters for Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (
        content_type,
        app.metrics.expose(&app.view.get(), &app.ledger.status()),
    )
        .into_response()
}
