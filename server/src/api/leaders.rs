//! The leaderboard: who chose to be named, and where a worker stands.
//!
//! A worker shows by its resume token which identity is its own; a volunteer shows by a key of their own which
//! name is theirs. Both are secrets of 256 bits in hexadecimal form, and neither is stored: only their hashes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::runs::no_run;
use crate::app::App;
use crate::auth::bearer;
use crate::http::json;
use crate::ledger::{Ledger, LedgerError, Named, Naming, unix_ms};
use crate::problem::{Code, Problem};

/// Lines of the leaderboard.
const LEADERS: u32 = 50;
/// Longest name.
const MAX_NAME_CHARS: usize = 24;
/// Shortest name.
const MIN_NAME_CHARS: usize = 2;
/// A body holds a key and a name.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 10;

/// Of which run; of all together if none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfRun {
    run: Option<String>,
}

#[derive(Serialize)]
struct LeaderJson {
    name: String,
    samples: u64,
}

/// The named volunteers with the most samples.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<OfRun>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = run_of(&app, query)?;
    let leaders = ledger(&app)?.leaders(run, LEADERS).await;
    let leaders = leaders.map_err(|error| failed(&error))?;
    let leaders: Vec<_> = leaders
        .into_iter()
        .map(|leader| LeaderJson {
            name: leader.name,
            samples: leader.samples,
        })
        .collect();
    Ok(json(&headers, &leaders))
}

#[derive(Serialize)]
struct StandingJson {
    samples: u64,
    /// 1 for the one with the most samples.
    rank: u64,
    /// Workers with credit.
    of: u64,
}

/// Where the worker with this token stands.
pub(crate) async fn standing(
    State(app): State<Arc<App>>,
    query: Result<Query<OfRun>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = run_of(&app, query)?.ok_or_else(|| bad_query("name a run"))?;
    let identity = Digest::of(&secret(&headers)?);
    let standing = ledger(&app)?.standing_of(run, identity).await;
    let standing = standing.map_err(|error| failed(&error))?;
    let answer = StandingJson {
        samples: standing.samples,
        rank: standing.rank,
        of: standing.identities,
    };
    Ok(json(&headers, &answer))
}

/// A volunteer's wish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameRequest {
    /// The volunteer's key.
    key: String,
    name: String,
}

#[derive(Serialize)]
struct NameJson {
    name: String,
}

/// Names the volunteer with this key, to whom the worker with this token belongs.
pub(crate) async fn name(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Result<Json<NameRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    let identity = Digest::of(&secret(&headers)?);
    let Json(request) = request.map_err(|error| {
        let detail = format!("{error}; send {{\"key\": …, \"name\": …}} of at most 1 KiB.");
        Problem::new(StatusCode::BAD_REQUEST, Code::BadBody, detail)
    })?;
    let key = Digest::from_hex(&request.key).ok_or_else(|| {
        let detail = "The key is 64 lower-case hexadecimal digits.";
        Problem::new(StatusCode::BAD_REQUEST, Code::BadKey, detail)
    })?;
    let name = checked_name(&request.name).ok_or_else(|| {
        let detail = format!(
            "A name has {MIN_NAME_CHARS} to {MAX_NAME_CHARS} letters and digits; spaces, dashes, dots and \
             apostrophes may stand between them."
        );
        Problem::new(StatusCode::BAD_REQUEST, Code::BadName, detail)
    })?;
    let naming = Naming {
        volunteer: Digest::of(&key.0),
        identity,
        name: name.clone(),
        at_ms: unix_ms(),
    };
    let named = ledger(&app)?.name_volunteer(naming).await;
    match named.map_err(|error| failed(&error))? {
        Named::Yes => Ok(json(&headers, &NameJson { name })),
        Named::NoCredit => {
            let detail = "This worker has no credit yet; names are for those who helped.";
            let status = StatusCode::FORBIDDEN;
            Err(Problem::new(status, Code::NoCredit, detail))
        }
        Named::Taken => {
            let detail = "Another volunteer has this name; choose another one.";
            let status = StatusCode::CONFLICT;
            Err(Problem::new(status, Code::NameTaken, detail))
        }
        Named::TooMany => {
            let detail = "The leaderboard has no room for more names.";
            let status = StatusCode::INSUFFICIENT_STORAGE;
            Err(Problem::new(status, Code::TooMany, detail))
        }
    }
}

#[derive(Serialize)]
struct ForgottenJson {
    forgotten: bool,
}

/// Forgets the name of the volunteer with this key.
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let volunteer = Digest::of(&secret(&headers)?);
    let forgotten = ledger(&app)?.forget_volunteer(volunteer).await;
    let forgotten = forgotten.map_err(|error| failed(&error))?;
    Ok(json(&headers, &ForgottenJson { forgotten }))
}

/// The name as it is shown; none where it is none. What is neither letter nor digit could imitate other names
/// or change how the text around it reads.
fn checked_name(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split(' ').filter(|word| !word.is_empty()).collect();
    let name = words.join(" ");
    let is_plain = |c: char| c.is_alphanumeric() || " -_.'\u{2019}".contains(c);
    let fits = (MIN_NAME_CHARS..=MAX_NAME_CHARS).contains(&name.chars().count());
    let holds = fits && name.chars().all(is_plain) && name.chars().any(char::is_alphanumeric);
    holds.then_some(name)
}

/// The bearer's secret.
fn secret(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    // A secret is written like a digest.
    let secret = bearer(headers).and_then(Digest::from_hex);
    secret.map(|secret| secret.0).ok_or_else(unauthorized)
}

fn unauthorized() -> Problem {
    let detail =
        "Send the secret as `Authorization: Bearer` with 64 lower-case hexadecimal digits.";
    Problem::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, detail)
}

fn run_of(
    app: &App,
    query: Result<Query<OfRun>, QueryRejection>,
) -> Result<Option<RunId>, Problem> {
    let Query(OfRun { run }) = query.map_err(|error| bad_query(&error.to_string()))?;
    let Some(name) = run else { return Ok(None) };
    let view = app.view.get();
    let run = view.run(&name).ok_or_else(|| no_run(&name))?;
    Ok(Some(run.facts.run_id))
}

fn bad_query(problem: &str) -> Problem {
    Problem::bad_query(format!("{problem}; `run` is the name of a run."))
}

fn ledger(app: &App) -> Result<&Ledger, Problem> {
    // The reason is for the operator and stands in the log.
    app.ledger.read().map_err(|_reason| unavailable())
}

fn failed(error: &LedgerError) -> Problem {
    tracing::warn!(%error, "the leaderboard could not be read or changed");
    unavailable()
}

fn unavailable() -> Problem {
    let detail = "The leaderboard is not available at the moment; training goes on without it.";
    Problem::ledger_off(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for (written, shown) in [
            ("Ada", "Ada"),
            ("  Ada   Lovelace ", "Ada Lovelace"),
            ("李小龙", "李小龙"),
            ("O\u{2019}Neil-7", "O\u{2019}Neil-7"),
            ("Zoë", "Zoë"),
        ] {
            assert_eq!(checked_name(written).as_deref(), Some(shown));
        }
        let long = "a".repeat(MAX_NAME_CHARS + 1);
        for wrong in [
            "",
            " ",
            "A",
            "--",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}b",
            "<b>bold</b>",
            "https://spam",
            "😀😀",
            long.as_str(),
        ] {
            assert_eq!(checked_name(wrong), None, "{wrong:?}");
        }
    }
}
