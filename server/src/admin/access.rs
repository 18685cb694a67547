//! Who calls, whether they may, and what the ledger is told of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tabswarm_protocol::RunId;
use tracing::error;

use super::idempotency::IDEMPOTENCY_KEY;
use crate::app::App;
use crate::auth::{Scope, bearer, hash_of};
use crate::ledger::unix_ms;
use crate::problem::{Code, Problem};

/// So much of an order's address goes into the ledger.
const MAX_NOTED_ADDRESS_BYTES: usize = 1 << 10;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The token's id; none for the admin token of the data directory.
    token: Option<u64>,
    /// The token's label.
    label: String,
    scope: Scope,
}

/// What an order did, for the ledger; the answer's extension.
#[derive(Debug, Clone)]
pub(crate) struct Noted(pub(crate) Value);

/// Lets requests with a valid token pass and records orders.
pub(crate) async fn authenticate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match identify(&app, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return with_challenge(problem.into_response()),
    };
    let order = Order::of(&app, &caller, &request);
    let token = caller.token;
    request.extensions_mut().insert(caller);
    let is_keyed =
        *request.method() == Method::POST && request.headers().contains_key(IDEMPOTENCY_KEY);
    let response = if is_keyed {
        app.orders.once(token, request, next).await
    } else {
        next.run(request).await
    };
    if let Some(order) = order {
        order.record(&app, &response);
    }
    response
}

/// Lets a group of routes be used by those whose token is good for it.
pub(crate) async fn require(
    State(needed): State<Scope>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if caller.scope.includes(needed) {
        return next.run(request).await;
    }
    let detail = format!(
        "This needs a token of the scope {needed}; yours is of the scope {}. `tabswarm token issue` makes one.",
        caller.scope
    );
    Problem::new(StatusCode::FORBIDDEN, Code::WrongScope, detail).into_response()
}

/// Whose token the request carries.
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let secret = bearer(headers).ok_or_else(unauthorized)?;
    if app.guard.knows(secret) {
        return Ok(Caller {
            token: None,
            label: "admin-token".to_owned(),
            scope: Scope::Admin,
        });
    }
    let ledger = app.ledger.read().map_err(|_reason| {
        let detail = "Tokens can't be looked up while the ledger is off; the server's own admin token is good.";
        Problem::ledger_off(detail)
    })?;
    let found = ledger.lookup_token(hash_of(secret)).await;
    let found = found.map_err(|error| {
        error!(%error, "a token can't be looked up");
        Problem::ledger_off("Tokens can't be looked up now; the server's log says why.")
    })?;
    let valid = found.filter(|token| token.is_valid(unix_ms()));
    let token = valid.ok_or_else(unauthorized)?;
    let scope = token.kind.scope().ok_or_else(unauthorized)?;
    Ok(Caller {
        token: Some(token.id),
        label: token.label,
        scope,
    })
}

fn unauthorized() -> Problem {
    let detail = "Send a valid token as `Authorization: Bearer TOKEN`; the admin token is in the data directory's \
                  file admin-token unless TABSWARM_ADMIN_TOKEN is set for the server.";
    Problem::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, detail)
}

fn with_challenge(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A request that may change something.
#[derive(Debug)]
struct Order {
    run: Option<RunId>,
    detail: Value,
}

impl Order {
    fn of(app: &App, caller: &Caller, request: &Request) -> Option<Self> {
        if matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        ) {
            return None;
        }
        let path = request.uri().path();
        let name = path
            .strip_prefix("/admin/runs/")
            .and_then(|rest| rest.split('/').next());
        let view = app.view.get();
        let run = name.and_then(|name| view.run(name));
        let address = request.uri().to_string();
        let address = &address[..address.floor_char_boundary(MAX_NOTED_ADDRESS_BYTES)];
        let detail = json!({
            "by": caller.label,
            "token": caller.token,
            "method": request.method().as_str(),
            "address": address,
        });
        Some(Self {
            run: run.map(|run| run.facts.run_id),
            detail,
        })
    }

    fn record(mut self, app: &App, response: &Response) {
        self.detail["status"] = response.status().as_u16().into();
        if let Some(Noted(noted)) = response.extensions().get() {
            self.detail["did"] = noted.clone();
        }
        app.ledger.event("order", self.run, &self.detail);
    }
}
