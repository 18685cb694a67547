//! The operator's console: files for everybody who reaches the admin listener. It holds no secret: what it shows, it asks for with the token that is typed into it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;

use crate::app::App;
use crate::assets::CONSOLE_PAGE;

/// The console's files. What it shows comes from the admin API.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(page))
        .route("/assets/{*path}", get(file))
        .route("/favicon.svg", get(file))
        .route("/theme.js", get(file))
}

async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.assets.answer(CONSOLE_PAGE, &headers)
}

async fn file(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    app.assets
        .answer(uri.path().trim_start_matches('/'), &headers)
}
