//! Bans: which identities may not work here.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tabswarm_model::digest::Digest;
use tokio::time::sleep;
use tracing::warn;
use utoipa::{IntoParams, ToSchema};

use super::problems::{BadRequest, Conflict, LedgerOff, NotFound, Unprocessable};
use super::rows;
use super::tokens::unwritten;
use crate::actor::{Message, Order};
use crate::api::blobs::parse_digest;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::http::json;
use crate::ledger::limits::{MAX_ROWS, OPEN_RETRY};
use crate::ledger::{Ban, unix_ms};
use crate::problem::{Code, Problem};

/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 150;
/// Longest ban that ends: ten years.
const MAX_BAN_S: u64 = 10 * 366 * 24 * 60 * 60;

/// A ban to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanRequest {
    /// The worker is told: 1 to 150 characters.
    #[schema(example = "wrong gradients")]
    reason: String,
    /// It is over after so many seconds; it never is if left out.
    #[schema(minimum = 1, maximum = 316_224_000)]
    lasts_s: Option<u64>,
}

/// A ban.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BanJson {
    /// Digest of a worker's token.
    #[schema(value_type = String)]
    identity: Digest,
    reason: String,
    /// Whether it still holds.
    holds: bool,
    /// Milliseconds since 1970.
    banned_ms: u64,
    /// Never if null.
    until_ms: Option<u64>,
}

/// A page of bans.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BansJson {
    bans: Vec<BanJson>,
    /// To be given as `after` for the next page; null on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<Digest>,
}

/// Which bans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct BansQuery {
    /// Those of identities behind this one.
    after: Option<String>,
    /// At most so many; 1 to 1,000, and 100 if left out.
    limit: Option<u32>,
}

/// List bans.
#[utoipa::path(
    get, path = "/admin/bans", tag = "workers", operation_id = "list_bans", params(BansQuery),
    responses((status = 200, description = "A page of bans, by identity.", body = BansJson), BadRequest, LedgerOff)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<BansQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = rows::checked(query.limit)?;
    let after = query.after.as_deref().map(parse_digest).transpose()?;
    let read = rows::ledger(&app)?.list_bans(after, limit).await;
    let read = read.map_err(|error| rows::unreadable(&error))?;
    let bans: Vec<_> = read.into_iter().map(BanJson::new).collect();
    let next = rows::next(limit, &bans, |ban| ban.identity);
    Ok(json(&headers, &BansJson { bans, next }))
}

/// Ban an identity.
///
/// Its worker is cut at once and told the reason; what it was credited stays. Whoever throws its token away comes as
/// somebody new, without credit. Banning again changes reason and duration.
#[utoipa::path(
    put, path = "/admin/bans/{identity}", tag = "workers", operation_id = "ban",
    params(("identity" = String, Path, description = "The identity.")), request_body = BanRequest,
    responses((status = 200, description = "The ban.", body = BanJson), BadRequest, Conflict, Unprocessable, LedgerOff)
)]
pub(crate) async fn ban(
    State(app): State<Arc<App>>,
    Path(identity): Path<String>,
    headers: HeaderMap,
    Json(request): Json<BanRequest>,
) -> Result<Response, Problem> {
    let identity = parse_digest(&identity)?;
    let reason = request.reason.trim();
    let fits = (1..=MAX_REASON_CHARS).contains(&reason.chars().count());
    if !fits || reason.chars().any(char::is_control) {
        let detail = format!(
            "The reason, which the worker is told, has 1 to {MAX_REASON_CHARS} characters."
        );
        return Err(Problem::unprocessable(Code::BadBody, detail));
    }
    if request
        .lasts_s
        .is_some_and(|lasts| !(1..=MAX_BAN_S).contains(&lasts))
    {
        let detail = format!("lasts_s can be 1 to {MAX_BAN_S}, or left out for good.");
        return Err(Problem::unprocessable(Code::BadBody, detail));
    }
    let banned_ms = unix_ms();
    let ban = Ban {
        identity,
        reason: reason.to_owned(),
        banned_ms,
        until_ms: request.lasts_s.map(|lasts| banned_ms + lasts * 1_000),
    };
    let stored = rows::ledger(&app)?.ban(ban.clone()).await;
    stored.map_err(|error| unwritten(&error))?;
    tell(&app, ban.clone()).await?;
    Ok(json(&headers, &BanJson::new(ban)))
}

/// Lift a ban.
#[utoipa::path(
    delete, path = "/admin/bans/{identity}", tag = "workers", operation_id = "unban",
    params(("identity" = String, Path, description = "The identity.")),
    responses((status = 200, description = "The ban that was lifted.", body = BanJson), BadRequest, NotFound, LedgerOff)
)]
pub(crate) async fn unban(
    State(app): State<Arc<App>>,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let identity = parse_digest(&identity)?;
    let ban = ban_of(&app, identity).await?;
    let lifted = rows::ledger(&app)?.unban(identity).await;
    lifted.map_err(|error| unwritten(&error))?;
    let told = app
        .actor
        .send(Message::Order(Order::Unban { identity }))
        .await;
    told.map_err(|_gone| Problem::going_down())?;
    let ban = ban.ok_or_else(|| Problem::not_found("This identity is not banned."))?;
    Ok(json(&headers, &BanJson::new(ban)))
}

impl BanJson {
    pub(super) fn new(ban: Ban) -> Self {
        Self {
            identity: ban.identity,
            holds: ban.holds(unix_ms()),
            reason: ban.reason,
            banned_ms: ban.banned_ms,
            until_ms: ban.until_ms,
        }
    }
}

pub(super) async fn ban_of(app: &App, identity: Digest) -> Result<Option<Ban>, Problem> {
    let read = rows::ledger(app)?.ban_of(identity).await;
    read.map_err(|error| rows::unreadable(&error))
}

/// Tells the coordinator of a ban that holds.
async fn tell(app: &App, ban: Ban) -> Result<(), Problem> {
    let now_ms = unix_ms();
    if !ban.holds(now_ms) {
        return Ok(());
    }
    let left = ban
        .until_ms
        .map(|until| Duration::from_millis(until.saturating_sub(now_ms)));
    let order = Order::Ban {
        identity: ban.identity,
        lasts: left,
        reason: ban.reason,
    };
    let told = app.actor.send(Message::Order(order)).await;
    told.map_err(|_gone| Problem::going_down())
}

/// Tells the coordinator of all bans that the ledger has, as soon as it can be read.
pub(crate) async fn restore(app: Weak<App>) {
    let mut after = None;
    loop {
        let Some(app) = app.upgrade() else { return };
        let page = match app.ledger.read() {
            Ok(ledger) => ledger
                .list_bans(after, MAX_ROWS)
                .await
                .map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        match page {
            Ok(page) => {
                let is_last = page.len() < MAX_ROWS as usize;
                after = page.last().map(|ban| ban.identity).or(after);
                for ban in page {
                    if tell(&app, ban).await.is_err() {
                        return;
                    }
                }
                if is_last {
                    return;
                }
            }
            Err(reason) => {
                warn!(reason, "bans can't be read yet; it is tried again");
                drop(app);
                sleep(OPEN_RETRY).await;
            }
        }
    }
}
