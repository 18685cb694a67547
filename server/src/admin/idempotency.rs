//! Orders that may be given twice, because nobody knows whether the first one arrived.
//!
//! A client makes up a key, and sends it again with the same request. The first request is carried out, later ones get
//! its answer. Keys are kept in memory only: after a restart, names that are taken tell the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::MAX_RUN_FILE_BYTES;
use tracing::error;

use crate::problem::{Code, Problem};

/// The header.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Says that an answer is one that was given before.
const REPLAYED: &str = "idempotency-replayed";
/// Longest key; a UUID has 36 bytes.
const MAX_KEY_BYTES: usize = 100;
/// Answers are remembered for so long: clients try again within minutes.
const KEY_LIFE: Duration = Duration::from_hours(1);
/// Most remembered answers; further keys are refused until some are forgotten.
const MAX_KEYS: usize = 1_000;
/// Largest answer to an order: a run or a token.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A key of a caller.
type Key = (Option<u64>, String);

/// What is known of all keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<BTreeMap<Key, Entry>>>);

#[derive(Debug)]
struct Entry {
    /// Of the request: method, address and body.
    request: Digest,
    since: Instant,
    /// None while it is under way.
    answer: Option<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

impl Keys {
    /// Carries a request out, unless it was before. `caller` is the id of the caller's token.
    pub(super) async fn once(&self, caller: Option<u64>, request: Request, next: Next) -> Response {
        match self.begin(caller, request).await {
            Ok(Begun::Fresh(key, request)) => self.carry_out(key, request, next).await,
            Ok(Begun::Done(answer)) => {
                let mut response = answer.into_response();
                let replayed = HeaderValue::from_static("true");
                response.headers_mut().insert(REPLAYED, replayed);
                response
            }
            Err(problem) => problem.into_response(),
        }
    }

    async fn begin(&self, caller: Option<u64>, request: Request) -> Result<Begun, Problem> {
        let key = (caller, key_of(&request)?);
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_RUN_FILE_BYTES).await.map_err(|_error| {
            let detail =
                format!("The body is longer than {MAX_RUN_FILE_BYTES} bytes, or broke off.");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail)
        })?;
        let address = format!("{} {}\n", parts.method, parts.uri);
        let digest = Digest::of(&[address.as_bytes(), &body].concat());
        let mut all = self.lock();
        all.retain(|_, entry| entry.answer.is_none() || entry.since.elapsed() < KEY_LIFE);
        if let Some(entry) = all.get(&key) {
            return entry.repeat(digest);
        }
        if all.len() >= MAX_KEYS {
            let detail = "Too many idempotency keys are in use; try again later, or without one.";
            return Err(Problem::conflict(Code::TooMany, detail));
        }
        let entry = Entry {
            request: digest,
            since: Instant::now(),
            answer: None,
        };
        all.insert(key.clone(), entry);
        Ok(Begun::Fresh(
            key,
            Request::from_parts(parts, Body::from(body)),
        ))
    }

    async fn carry_out(&self, key: Key, request: Request, next: Next) -> Response {
        // On a task of its own: what a client that goes away has begun still gets its answer remembered.
        let keys = self.clone();
        let task = tokio::spawn(async move {
            let (parts, body) = next.run(request).await.into_parts();
            let whole = to_bytes(body, MAX_ANSWER_BYTES).await;
            let mut all = keys.lock();
            let Ok(body) = whole else {
                all.remove(&key);
                return Problem::internal().into_response();
            };
            if parts.status.is_server_error() {
                // It may go well the next time.
                all.remove(&key);
            } else if let Some(entry) = all.get_mut(&key) {
                entry.answer = Some(Answer {
                    status: parts.status,
                    content_type: parts.headers.get(header::CONTENT_TYPE).cloned(),
                    body: body.clone(),
                });
            }
            Response::from_parts(parts, Body::from(body))
        });
        task.await.unwrap_or_else(|panic| {
            error!(%panic, "an order panicked");
            Problem::internal().into_response()
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        // Every change is one insertion or removal: a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Begun {
    Fresh(Key, Request),
    Done(Answer),
}

impl Entry {
    fn repeat(&self, request: Digest) -> Result<Begun, Problem> {
        if self.request != request {
            let detail = "This idempotency key was sent with another request; make up a new one.";
            return Err(Problem::unprocessable(Code::KeyReused, detail));
        }
        self.answer.clone().map(Begun::Done).ok_or_else(|| {
            let detail =
                "The first request with this idempotency key is under way; try again in a second.";
            Problem::conflict(Code::InProgress, detail)
        })
    }
}

impl Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn key_of(request: &Request) -> Result<String, Problem> {
    let mut values = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let key = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    let fits = |key: &&str| {
        (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    key.filter(fits).map(ToOwned::to_owned).ok_or_else(|| {
        let detail = format!(
            "An idempotency key has 1 to {MAX_KEY_BYTES} visible ASCII characters; a UUID is a good one."
        );
        Problem::new(StatusCode::BAD_REQUEST, Code::BadIdempotencyKey, detail)
    })
}
