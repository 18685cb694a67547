//! What only the operator may do. Every address but `/healthz` asks for the token.

pub(crate) mod runs;
pub(crate) mod workers;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::problem::Problem;

/// Lets requests with the token pass.
pub(crate) async fn require_token(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if app.guard.admits(request.headers()) {
        return next.run(request).await;
    }
    let detail = "Send the admin token as `Authorization: Bearer TOKEN`; it is in the data directory's \
                  file admin-token unless TABSWARM_ADMIN_TOKEN is set for the server.";
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Unauthorized",
        detail,
    );
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Counters for Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (content_type, app.metrics.expose(&app.view.get())).into_response()
}
