//! The operator's console: files for everybody who reaches the admin listener, and the curves that it draws for
//! those who have the token. It holds no secret: what it shows, it asks for with the token that is typed into it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

use super::require_token;
use crate::api;
use crate::app::App;
use crate::assets::CONSOLE_PAGE;

/// What the console needs beside the admin API.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let curves = Router::new()
        .route("/admin/runs/{name}/history", get(api::runs::history))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(app),
            require_token,
        ));
    Router::new()
        .route("/", get(page))
        .route("/assets/{*path}", get(file))
        .route("/favicon.svg", get(file))
        .route("/theme.js", get(file))
        .merge(curves)
}

async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.assets.answer(CONSOLE_PAGE, &headers)
}

async fn file(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    app.assets
        .answer(uri.path().trim_start_matches('/'), &headers)
}
