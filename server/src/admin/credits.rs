//! Who was credited how much.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tabswarm_model::digest::Digest;
use utoipa::{IntoParams, ToSchema};

use super::problems::{BadRequest, LedgerOff, NotFound};
use super::rows;
use crate::api::blobs::parse_digest;
use crate::app::App;
use crate::extract::Query;
use crate::http::json;
use crate::ledger::Place;
use crate::problem::Problem;

/// Whose credits.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreditsQuery {
    /// At most so many; 1 to 1,000, and 100 if left out.
    limit: Option<u32>,
    /// Those of one run; of all runs together if left out.
    run: Option<String>,
    /// Those behind this place, which `next` of another page was.
    #[param(example = "640-0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0")]
    after: Option<String>,
}

/// Credits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditsJson {
    /// None for all runs together.
    run: Option<String>,
    /// The run's log entry up to which these are its credits.
    sequence: Option<u64>,
    /// Of all identities.
    samples: u64,
    /// Most samples first.
    credits: Vec<CreditJson>,
    /// To be given as `after` for the next page; null on the last one.
    next: Option<String>,
}

/// What an identity was credited.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreditJson {
    /// Digest of a worker's token.
    #[schema(value_type = String)]
    identity: Digest,
    samples: u64,
    /// `browser` or `native`, if it was seen since the ledger was made.
    kind: Option<String>,
    software: Option<String>,
    /// Milliseconds since 1970.
    last_seen_ms: Option<u64>,
}

/// List credits.
///
/// The identities with the most samples, in a run or in all of them.
#[utoipa::path(
    get, path = "/admin/credits", tag = "credits", operation_id = "list_credits", params(CreditsQuery),
    responses((status = 200, description = "Credits.", body = CreditsJson), BadRequest, NotFound, LedgerOff)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<CreditsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = rows::checked(query.limit)?;
    let run = rows::run_of(&app.view.get(), query.run.as_deref())?;
    let after = query.after.as_deref().map(place).transpose()?;
    let read = rows::ledger(&app)?.leaderboard(run, after, limit).await;
    let board = read.map_err(|error| rows::unreadable(&error))?;
    let next = rows::next(limit, &board.credits, |credit| {
        format!("{}-{}", credit.samples, credit.identity)
    });
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
        next,
    };
    Ok(json(&headers, &answer))
}

/// A place as `next` has it: samples and identity.
fn place(text: &str) -> Result<Place, Problem> {
    let read = text.split_once('-').and_then(|(samples, identity)| {
        Some(Place {
            samples: samples.parse().ok()?,
            identity: parse_digest(identity).ok()?,
        })
    });
    read.ok_or_else(|| {
        Problem::bad_query("after is the next of another page of credits, such as 640-IDENTITY.")
    })
}
