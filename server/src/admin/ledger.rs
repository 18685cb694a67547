//! What the ledger knows: events, and who was credited how much.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;
use tracing::error;

use crate::api::runs::no_run;
use crate::app::App;
use crate::http::json;
use crate::ledger::limits::MAX_ROWS;
use crate::ledger::{Ledger, LedgerError};
use crate::problem::Problem;
use crate::view::View;

/// Rows of an answer where the question does not say.
const DEFAULT_ROWS: u32 = 100;

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Those with larger ids, oldest first; the newest ones if left out.
    after: Option<u64>,
    limit: Option<u32>,
    run: Option<String>,
}

/// Whose credits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreditsQuery {
    limit: Option<u32>,
    run: Option<String>,
}

#[derive(Debug, Serialize)]
struct EventsJson {
    events: Vec<EventJson>,
    /// To be given as `after` for what comes next.
    newest: u64,
}

#[derive(Debug, Serialize)]
struct EventJson {
    id: u64,
    /// Milliseconds since 1970.
    at_ms: u64,
    kind: String,
    run_id: Option<u32>,
    /// Its name, while it is hosted.
    run: Option<String>,
    detail: Value,
}

#[derive(Debug, Serialize)]
struct CreditsJson {
    /// None for all runs together.
    run: Option<String>,
    /// The run's log entry up to which these are its credits.
    sequence: Option<u64>,
    /// Of all identities.
    samples: u64,
    /// Most samples first.
    credits: Vec<CreditJson>,
}

#[derive(Debug, Serialize)]
struct CreditJson {
    identity: Digest,
    samples: u64,
    kind: Option<String>,
    software: Option<String>,
    /// Milliseconds since 1970.
    last_seen_ms: Option<u64>,
}

/// Events, oldest first.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_query(error.to_string()))?;
    let limit = checked(query.limit)?;
    let view = app.view.get();
    let run = run_of(&view, query.run.as_deref())?;
    let ledger = open(&app)?;
    let read = match query.after {
        Some(after) => ledger.events(after, limit, run).await,
        None => ledger.newest_events(limit, run).await,
    };
    let events = read.map_err(|error| unreadable(&error))?;
    let newest = events.last().map(|event| event.id);
    let events = events.into_iter().map(|event| EventJson {
        id: event.id,
        at_ms: event.at_ms,
        kind: event.kind,
        run_id: event.run.map(|run| run.0),
        run: event.run.and_then(|run| name_of(&view, run)),
        detail: event.detail,
    });
    let answer = EventsJson {
        events: events.collect(),
        newest: newest.or(query.after).unwrap_or(0),
    };
    Ok(json(&headers, &answer))
}

/// Who was credited most, in a run or in all of them.
pub(crate) async fn credits(
    State(app): State<Arc<App>>,
    query: Result<Query<CreditsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_query(error.to_string()))?;
    let limit = checked(query.limit)?;
    let run = run_of(&app.view.get(), query.run.as_deref())?;
    let read = open(&app)?.leaderboard(run, limit).await;
    let board = read.map_err(|error| unreadable(&error))?;
    let credits = board.credits.into_iter().map(|credit| CreditJson {
        identity: credit.identity,
        samples: credit.samples,
        kind: credit.kind,
        software: credit.software,
        last_seen_ms: credit.last_seen_ms,
    });
    let answer = CreditsJson {
        run: query.run,
        sequence: board.sequence,
        samples: board.samples,
        credits: credits.collect(),
    };
    Ok(json(&headers, &answer))
}

fn open(app: &App) -> Result<&Ledger, Problem> {
    app.ledger.read().map_err(|reason| {
        let detail = format!("There are no answers from the ledger now: {reason}.");
        Problem::ledger_off(detail)
    })
}

fn run_of(view: &View, name: Option<&str>) -> Result<Option<RunId>, Problem> {
    let Some(name) = name else { return Ok(None) };
    let run = view.run(name).ok_or_else(|| no_run(name))?;
    Ok(Some(run.facts.run_id))
}

fn name_of(view: &View, run_id: RunId) -> Option<String> {
    let run = view.runs.iter().find(|run| run.facts.run_id == run_id)?;
    Some(run.facts.run.name.clone())
}

fn checked(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(DEFAULT_ROWS) {
        limit if (1..=MAX_ROWS).contains(&limit) => Ok(limit),
        limit => {
            let detail = format!("limit is {limit}; it can be 1 to {MAX_ROWS}.");
            Err(Problem::bad_query(detail))
        }
    }
}

fn unreadable(error: &LedgerError) -> Problem {
    error!(%error, "the ledger can't be read");
    Problem::internal()
}
