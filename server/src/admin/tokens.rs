//! Tokens of the admin listener: issue, list, revoke.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::access::Noted;
use super::problems::{BadRequest, Conflict, LedgerOff, NotFound, Unprocessable};
use super::rows;
use crate::app::App;
use crate::auth::{Scope, fresh_token};
use crate::extract::{Json, Path, Query};
use crate::http::json;
use crate::ledger::{LedgerError, NewToken, StoredToken, TokenKind, unix_ms};
use crate::problem::{Code, Problem};

/// Longest label, in characters.
const MAX_LABEL_CHARS: usize = 100;
/// Longest life: ten years. Who wants more may leave it out.
const MAX_LIFE_S: u64 = 10 * 366 * 24 * 60 * 60;

/// A token to issue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// For whom or what: 1 to 100 characters.
    #[schema(example = "Grafana")]
    label: String,
    scope: Scope,
    /// It is void after so many seconds; it never is if left out.
    #[schema(minimum = 1, maximum = 316_224_000)]
    expires_in_s: Option<u64>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenJson {
    id: u64,
    label: String,
    /// `admin` for this listener; `join` and `worker` for workers.
    kind: &'static str,
    /// Of those for this listener.
    scope: Option<Scope>,
    state: TokenState,
    /// Milliseconds since 1970, as all moments.
    created_ms: u64,
    expires_ms: Option<u64>,
    revoked_ms: Option<u64>,
}

/// Whether a token opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenState {
    Valid,
    Expired,
    Revoked,
}

/// A token that was just issued.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedJson {
    /// The token itself. It is stored nowhere and not shown again.
    token: String,
    #[serde(flatten)]
    about: TokenJson,
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokensJson {
    tokens: Vec<TokenJson>,
    /// To be given as `after` for the next page; null on the last one.
    next: Option<u64>,
}

/// Which tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokensQuery {
    /// Those with larger ids.
    #[serde(default)]
    after: u64,
    /// At most so many; 1 to 1,000, and 100 if left out.
    limit: Option<u32>,
}

/// Issue a token.
///
/// The answer has the token itself, which is stored nowhere and not shown again.
#[utoipa::path(
    post, path = "/admin/tokens", tag = "tokens", operation_id = "issue_token",
    request_body = TokenRequest,
    responses((status = 201, description = "The token.", body = IssuedJson), BadRequest, Conflict, Unprocessable, LedgerOff)
)]
pub(crate) async fn issue(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(request): Json<TokenRequest>,
) -> Result<Response, Problem> {
    let label = checked_label(&request.label)?;
    if request
        .expires_in_s
        .is_some_and(|life| !(1..=MAX_LIFE_S).contains(&life))
    {
        let detail = format!(
            "expires_in_s can be 1 to {MAX_LIFE_S}, or left out for a token that never expires."
        );
        return Err(Problem::unprocessable(Code::BadBody, detail));
    }
    let (token, hash) = fresh_token().map_err(|error| {
        error!(%error, "no token can be made");
        Problem::internal()
    })?;
    let created_ms = unix_ms();
    let expires_ms = request.expires_in_s.map(|life| created_ms + life * 1_000);
    let new = NewToken {
        hash,
        kind: TokenKind::Admin(request.scope),
        label: label.to_owned(),
        created_ms,
        expires_ms,
    };
    let id = rows::ledger(&app)?.issue_token(new).await;
    let id = id.map_err(|error| unwritten(&error))?;
    let about = TokenJson {
        id,
        label: label.to_owned(),
        kind: "admin",
        scope: Some(request.scope),
        state: TokenState::Valid,
        created_ms,
        expires_ms,
        revoked_ms: None,
    };
    let noted = Noted(json!({ "issued": id, "label": label, "scope": request.scope }));
    let answer = json(&headers, &IssuedJson { token, about });
    Ok((StatusCode::CREATED, axum::Extension(noted), answer).into_response())
}

/// List tokens.
///
/// All that were issued, also void ones, by id. The admin token of the data directory is not among them.
#[utoipa::path(
    get, path = "/admin/tokens", tag = "tokens", operation_id = "list_tokens", params(TokensQuery),
    responses((status = 200, description = "A page of tokens.", body = TokensJson), BadRequest, LedgerOff)
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<TokensQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = rows::checked(query.limit)?;
    let read = rows::ledger(&app)?.list_tokens(query.after, limit).await;
    let stored = read.map_err(|error| rows::unreadable(&error))?;
    let tokens: Vec<_> = stored.into_iter().map(TokenJson::new).collect();
    let next = rows::next(limit, &tokens, |token| token.id);
    Ok(json(&headers, &TokensJson { tokens, next }))
}

/// Revoke a token.
///
/// It opens nothing from then on. Revoking one twice changes nothing.
#[utoipa::path(
    delete, path = "/admin/tokens/{id}", tag = "tokens", operation_id = "revoke_token",
    params(("id" = u64, Path, description = "The token's id.")),
    responses((status = 200, description = "The token.", body = TokenJson), BadRequest, NotFound, LedgerOff)
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ledger = rows::ledger(&app)?;
    let revoked = ledger.revoke_token(id).await;
    if !revoked.map_err(|error| unwritten(&error))? {
        return Err(no_token(id));
    }
    let read = ledger.list_tokens(id.saturating_sub(1), 1).await;
    let found = read.map_err(|error| rows::unreadable(&error))?.pop();
    let token = found.ok_or_else(|| no_token(id))?;
    Ok(json(&headers, &TokenJson::new(token)))
}

impl TokenJson {
    fn new(token: StoredToken) -> Self {
        let state = if token.revoked_ms.is_some() {
            TokenState::Revoked
        } else if token.is_valid(unix_ms()) {
            TokenState::Valid
        } else {
            TokenState::Expired
        };
        Self {
            id: token.id,
            label: token.label,
            kind: token.kind.name(),
            scope: token.kind.scope(),
            state,
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
            revoked_ms: token.revoked_ms,
        }
    }
}

fn checked_label(label: &str) -> Result<&str, Problem> {
    let label = label.trim();
    let fits = (1..=MAX_LABEL_CHARS).contains(&label.chars().count());
    if fits && !label.chars().any(char::is_control) {
        return Ok(label);
    }
    let detail = format!(
        "A label has 1 to {MAX_LABEL_CHARS} characters and says for whom or what the token is."
    );
    Err(Problem::unprocessable(Code::BadName, detail))
}

fn no_token(id: u64) -> Problem {
    Problem::not_found(format!(
        "There is no token with the id {id}; `tabswarm token list` shows them."
    ))
}

/// Why something could not be written into the ledger.
pub(super) fn unwritten(error: &LedgerError) -> Problem {
    match error {
        LedgerError::TooManyTokens | LedgerError::TooManyBans => {
            Problem::conflict(Code::TooMany, format!("{error}."))
        }
        _ => {
            error!(%error, "the ledger can't be written");
            Problem::ledger_off("The ledger can't be written now; the server's log says why.")
        }
    }
}
