//! What happened.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::problems::{BadRequest, LedgerOff, NotFound};
use super::rows;
use crate::app::App;
use crate::extract::Query;
use crate::http::json;
use crate::ledger::StoredEvent;
use crate::problem::Problem;
use crate::view::View;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Those with larger ids, oldest first; the newest ones if left out.
    after: Option<u64>,
    /// At most so many; 1 to 1,000, and 100 if left out.
    limit: Option<u32>,
    /// Those of one run.
    run: Option<String>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsJson {
    /// Oldest first.
    events: Vec<EventJson>,
    /// To be given as `after` for what comes next.
    newest: u64,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventJson {
    /// Grows from event to event.
    pub(super) id: u64,
    /// Milliseconds since 1970.
    at_ms: u64,
    /// What, as a constant name.
    #[schema(example = "run-started")]
    kind: String,
    run_id: Option<u32>,
    /// Its name, while it is hosted.
    run: Option<String>,
    /// More about it; docs/operations.md has the keys of each kind.
    #[schema(value_type = Object)]
    detail: Value,
}

impl EventJson {
    pub(super) fn new(event: StoredEvent, view: &View) -> Self {
        Self {
            id: event.id,
            at_ms: event.at_ms,
            kind: event.kind,
            run_id: event.run.map(|run| run.0),
            run: event.run.and_then(|run| rows::name_of(view, run)),
            detail: event.detail,
        }
    }
}

/// List events.
///
/// They lag behind by half a second.
#[utoipa::path(
    get, path = "/admin/events", tag = "events", operation_id = "list_events", params(EventsQuery),
    responses((status = 200, description = "A page of events.", body = EventsJson), BadRequest, NotFound, LedgerOff)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = rows::checked(query.limit)?;
    let view = app.view.get();
    let run = rows::run_of(&view, query.run.as_deref())?;
    let ledger = rows::ledger(&app)?;
    let read = match query.after {
        Some(after) => ledger.events(after, limit, run).await,
        None => ledger.newest_events(limit, run).await,
    };
    let events = read.map_err(|error| rows::unreadable(&error))?;
    let newest = events.last().map(|event| event.id);
    let events = events.into_iter().map(|event| EventJson::new(event, &view));
    let answer = EventsJson {
        events: events.collect(),
        newest: newest.or(query.after).unwrap_or(0),
    };
    Ok(json(&headers, &answer))
}
