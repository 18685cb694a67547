//! Workers' sockets: the handshake here, one task each in [`socket`].

mod inbound;
mod origin;
mod pace;
mod socket;

pub(crate) use origin::is_admitted;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tabswarm_coordinator::ConnectionId;

use crate::app::App;
use crate::limits::{MAX_WS_MESSAGE_BYTES, WS_READ_BUFFER_BYTES, WS_WRITE_BUFFER_BYTES};
use crate::listener::ConnectionGuard;
use crate::problem::{Code, Problem};

/// Turns a request into a worker's socket.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(guard): Extension<Arc<ConnectionGuard>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let detail = format!("This address is for WebSockets: {rejection}.");
            let status = rejection.into_response().status();
            return Problem::new(status, Code::NoWebsocket, detail).into_response();
        }
    };
    if !origin::is_allowed(&headers, &app.config.allowed_origins) {
        let detail =
            "Pages of this origin may not connect; the operator can admit it with --allow-origin.";
        let problem = Problem::new(StatusCode::FORBIDDEN, Code::ForeignOrigin, detail);
        return problem.into_response();
    }
    let connection = ConnectionId(app.next_connection.fetch_add(1, Ordering::Relaxed));
    upgrade
        .max_message_size(MAX_WS_MESSAGE_BYTES)
        .max_frame_size(MAX_WS_MESSAGE_BYTES)
        .read_buffer_size(WS_READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WS_WRITE_BUFFER_BYTES)
        .on_upgrade(move |socket| async move {
            socket::serve(socket, &app, connection).await;
            drop(guard);
        })
}
