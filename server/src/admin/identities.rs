//! Identities: what is known of them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tabswarm_model::digest::Digest;
use utoipa::{IntoParams, ToSchema};

use super::bans::{BanJson, ban_of};
use super::problems::{BadRequest, LedgerOff, NotFound};
use super::rows;
use crate::actor::Message;
use crate::api::blobs::parse_digest;
use crate::app::App;
use crate::extract::{Path, Query};
use crate::http::json;
use crate::ledger::Known;
use crate::problem::Problem;

/// An identity in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KnownIdentityJson {
    /// Digest of a worker's token.
    #[schema(value_type = String)]
    identity: Digest,
    /// The worker's id, while the server knows it.
    worker_id: Option<String>,
    /// Credited, of all runs.
    samples: u64,
    /// `browser` or `native`, if it was seen since the ledger was made.
    kind: Option<String>,
    software: Option<String>,
    /// Milliseconds since 1970.
    first_seen_ms: Option<u64>,
    /// Milliseconds since 1970.
    last_seen_ms: Option<u64>,
    ban: Option<BanJson>,
}

/// A page of identities.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdentitiesJson {
    identities: Vec<KnownIdentityJson>,
    /// To be given as `after` for the next page; null on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<Digest>,
}

/// Which identities.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentitiesQuery {
    /// Those behind this one.
    after: Option<String>,
    /// At most so many; 1 to 1,000, and 100 if left out.
    limit: Option<u32>,
}

/// An identity.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IdentityJson {
    /// Digest of a worker's token.
    #[schema(value_type = String)]
    identity: Digest,
    /// The worker's id, while the server knows it.
    worker_id: Option<String>,
    /// Samples of all runs.
    samples: u64,
    credits: Vec<RunCreditJson>,
    ban: Option<BanJson>,
}

/// What an identity was credited in a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunCreditJson {
    run_id: u32,
    /// Its name, while it is hosted.
    run: Option<String>,
    samples: u64,
}

/// List identities.
///
/// All that were seen, credited or banned, by identity. Credits lists those with the most samples first.
#[utoipa::path(
    get, path = "/admin/identities", tag = "workers", operation_id = "list_identities", params(IdentitiesQuery),
    responses((status = 200, description = "A page of identities.", body = IdentitiesJson), BadRequest, LedgerOff)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<IdentitiesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = rows::checked(query.limit)?;
    let after = query.after.as_deref().map(parse_digest).transpose()?;
    let read = rows::ledger(&app)?.identities(after, limit).await;
    let read = read.map_err(|error| rows::unreadable(&error))?;
    let workers = app.actor.ask(|reply| Message::Workers { reply }).await;
    let workers = workers.map_err(|_gone| Problem::going_down())?;
    let ids: HashMap<_, _> = workers
        .iter()
        .map(|worker| (worker.identity, worker.worker_id))
        .collect();
    let of = |known: Known| {
        let worker_id = ids.get(&known.identity).map(ToString::to_string);
        KnownIdentityJson::new(known, worker_id)
    };
    let identities: Vec<_> = read.into_iter().map(of).collect();
    let next = rows::next(limit, &identities, |known| known.identity);
    Ok(json(&headers, &IdentitiesJson { identities, next }))
}

/// Inspect an identity.
///
/// An identity is the digest of a worker's token: the worker keeps it as long as it keeps the token.
#[utoipa::path(
    get, path = "/admin/identities/{identity}", tag = "workers", operation_id = "show_identity",
    params(("identity" = String, Path, description = "The identity.")),
    responses((status = 200, description = "The identity.", body = IdentityJson), BadRequest, NotFound, LedgerOff)
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let identity = parse_digest(&identity)?;
    let workers = app.actor.ask(|reply| Message::Workers { reply }).await;
    let workers = workers.map_err(|_gone| Problem::going_down())?;
    let worker = workers.iter().find(|worker| worker.identity == identity);
    let ledger = rows::ledger(&app)?;
    let credits = ledger.credits_of(identity).await;
    let credits = credits.map_err(|error| rows::unreadable(&error))?;
    let ban = ban_of(&app, identity).await?;
    if worker.is_none() && credits.is_empty() && ban.is_none() {
        let detail =
            "There is no such identity: it has no credit, is not connected and is not banned.";
        return Err(Problem::not_found(detail));
    }
    let view = app.view.get();
    let answer = IdentityJson {
        identity,
        worker_id: worker.map(|worker| worker.worker_id.to_string()),
        samples: credits.iter().map(|(_, samples)| samples).sum(),
        credits: credits
            .into_iter()
            .map(|(run, samples)| RunCreditJson {
                run_id: run.0,
                run: rows::name_of(&view, run),
                samples,
            })
            .collect(),
        ban: ban.map(BanJson::new),
    };
    Ok(json(&headers, &answer))
}

impl KnownIdentityJson {
    fn new(known: Known, worker_id: Option<String>) -> Self {
        let Known {
            identity,
            samples,
            seen,
            ban,
        } = known;
        let times = seen.as_ref().map(|seen| (seen.first_ms, seen.last_ms));
        let (kind, software) = seen.map(|seen| (seen.kind, seen.software)).unzip();
        Self {
            identity,
            worker_id,
            samples,
            kind,
            software,
            first_seen_ms: times.map(|(first, _)| first),
            last_seen_ms: times.map(|(_, last)| last),
            ban: ban.map(BanJson::new),
        }
    }
}
