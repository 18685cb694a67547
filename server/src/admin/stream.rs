//! Events as they come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tabswarm_protocol::RunId;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;
use utoipa::IntoParams;

use super::events::EventJson;
use super::problems::{BadRequest, LedgerOff, NotFound, TooManyRequests};
use super::{access, rows};
use crate::app::App;
use crate::extract::Query;
use crate::ledger::limits::{FLUSH_INTERVAL, MAX_ROWS};
use crate::problem::{Code, Problem};

/// Most streams at a time: each asks the ledger twice a second.
pub(crate) const MAX_STREAMS: usize = 32;
/// A token that is void ends its stream after so long.
const TOKEN_CHECK: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    /// Those with larger ids; from now on if left out. A header `Last-Event-ID` does the same.
    after: Option<u64>,
    /// Those of one run.
    run: Option<String>,
}

/// Follow events.
///
/// As server-sent events: each has its id, and as data what the list has. Up to 32 streams at a time.
#[utoipa::path(
    get, path = "/admin/events/stream", tag = "events", operation_id = "stream_events", params(StreamQuery),
    responses(
        (status = 200, description = "Events as they come.", content_type = "text/event-stream", body = EventJson),
        BadRequest, NotFound, TooManyRequests, LedgerOff
    )
)]
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = rows::run_of(&app.view.get(), query.run.as_deref())?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = match query.after.or(last.and_then(|id| id.parse().ok())) {
        Some(after) => after,
        None => {
            let newest = rows::ledger(&app)?.newest_events(1, None).await;
            let newest = newest.map_err(|error| rows::unreadable(&error))?;
            newest.last().map_or(0, |event| event.id)
        }
    };
    let permit = Arc::clone(&app.event_streams).try_acquire_owned();
    let permit = permit.map_err(|_none_left| {
        let detail = format!(
            "{MAX_STREAMS} streams of events are open, as many as the server has; close one."
        );
        Problem::new(StatusCode::TOO_MANY_REQUESTS, Code::TooMany, detail)
    })?;
    let mut credentials = HeaderMap::new();
    credentials.extend(
        headers
            .get(header::AUTHORIZATION)
            .map(|value| (header::AUTHORIZATION, value.clone())),
    );
    let follower = Follower {
        goes_down: app.goes_down.clone(),
        app,
        run,
        after,
        waiting: VecDeque::new(),
        credentials,
        checked: Instant::now(),
        _permit: permit,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(follower.events())
        .keep_alive(keep_alive)
        .into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    Ok(response)
}

struct Follower {
    app: Arc<App>,
    run: Option<RunId>,
    after: u64,
    waiting: VecDeque<EventJson>,
    /// To see whether the token is still valid.
    credentials: HeaderMap,
    checked: Instant,
    goes_down: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            let id = event.id.to_string();
            // Events have string keys and finite numbers only.
            let event = Event::default().id(id).json_data(event).ok()?;
            Some((Ok(event), follower))
        })
    }

    /// The next event; none when the server goes down or the token is void.
    async fn next(&mut self) -> Option<EventJson> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.after = event.id;
                return Some(event);
            }
            if self.checked.elapsed() >= TOKEN_CHECK {
                let caller = access::identify(&self.app, &self.credentials).await;
                if caller.is_err_and(|problem| problem.status() == StatusCode::UNAUTHORIZED) {
                    return None;
                }
                self.checked = Instant::now();
            }
            // While the ledger can't be read nothing comes; what was missed comes later.
            if let Ok(ledger) = self.app.ledger.read()
                && let Ok(events) = ledger.events(self.after, MAX_ROWS, self.run).await
            {
                let view = self.app.view.get();
                let events = events.into_iter().map(|event| EventJson::new(event, &view));
                self.waiting.extend(events);
            }
            if self.waiting.is_empty() {
                tokio::select! {
                    () = sleep(FLUSH_INTERVAL) => {}
                    _ = self.goes_down.wait_for(|goes_down| *goes_down) => return None,
                }
            }
        }
    }
}
