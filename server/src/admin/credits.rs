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
use crate::app::App;
use crate::extract::Query;
use crate::http::json;
use crate::problem::Problem;

/// Whose credits.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreditsQuery {
    /// At most so many; 1 to 1,000, and 100 if left out.
    limit: Option<u32>,
    /// Those of one run; of all runs together if left out.
    run: Option<String>,
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
    let read = rows::ledger(&app)?.leaderboard(run, limit).await;
    let board = read.map_err(|error| rows::unreadable(&error))?;
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
