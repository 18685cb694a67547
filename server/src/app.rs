//! What request handlers and sockets share, and the two routers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, put};
use tabswarm_model::run_file::MAX_RUN_FILE_BYTES;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

use crate::actor::ActorHandle;
use crate::admin::health;
use crate::assets::Assets;
use crate::auth::Guard;
use crate::blob_cache::BlobCache;
use crate::config::Config;
use crate::hosting::Hosts;
use crate::ledger::LedgerLink;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::store::Store;
use crate::traces;
use crate::view::ViewCell;
use crate::{admin, api, assets, export, ws};

/// Shared by all handlers.
#[derive(Debug)]
pub(crate) struct App {
    /// As started.
    pub(crate) config: Config,
    /// The coordinator's thread.
    pub(crate) actor: ActorHandle,
    /// What it published.
    pub(crate) view: Arc<ViewCell>,
    /// Files.
    pub(crate) store: Arc<Store>,
    /// Makes runs ready.
    pub(crate) hosts: Arc<Hosts>,
    /// One run is created at a time: ingestion uses all cores already.
    pub(crate) creating: Mutex<()>,
    /// One model is exported at a time: it takes several times the model's memory.
    pub(crate) exporting: Mutex<()>,
    /// Credits, identities and events for those who ask.
    pub(crate) ledger: Arc<LedgerLink>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// The page.
    pub(crate) assets: Arc<Assets>,
    /// Chunks and parameters that were asked for lately.
    pub(crate) blobs: BlobCache,
    /// The admin token's hash.
    pub(crate) guard: Guard,
    /// One permit per worker's socket.
    pub(crate) sockets: Arc<Semaphore>,
    /// Number of the next socket.
    pub(crate) next_connection: AtomicU64,
    /// Orders that may come twice.
    pub(crate) orders: admin::idempotency::Keys,
    /// One permit per stream of events.
    pub(crate) event_streams: Arc<Semaphore>,
    /// True from when the server goes down.
    pub(crate) goes_down: watch::Receiver<bool>,
    /// Held by every socket: shutdown waits until all are dropped.
    pub(crate) alive: mpsc::Sender<()>,
}

impl App {
    /// Whether new requests and workers are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !*self.goes_down.borrow()
    }
}

/// The volunteers' interface.
pub(crate) fn public_router(app: Arc<App>) -> Router {
    Router::new()
        .route("/ws", get(ws::upgrade))
        .route("/healthz", get(health::well))
        .route("/api/runs", get(api::runs::list))
        .route("/api/runs/{name}", get(api::runs::show))
        .route("/api/runs/{name}/run.json", get(api::runs::run_json))
        .route("/api/runs/{name}/history", get(api::runs::history))
        .route("/api/runs/{name}/snapshots", get(api::runs::snapshots))
        .route("/api/runs/{name}/examples", get(api::runs::examples))
        .route("/api/runs/{name}/export", get(export::of_shared_run))
        .route("/api/leaders", get(api::leaders::list))
        .route("/api/standing", get(api::leaders::standing))
        .route(
            "/api/volunteer",
            put(api::leaders::name).delete(api::leaders::forget),
        )
        .route("/api/params/{digest}", get(api::blobs::params))
        .route("/api/datasets/{digest}", get(api::blobs::dataset))
        .route("/api/chunks/{digest}", get(api::blobs::chunk))
        .fallback(assets::serve)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(api::leaders::MAX_BODY_BYTES))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&app),
            share,
        ))
        .layer(axum::middleware::map_response(secure))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&app),
            embed,
        ))
        .layer(axum::middleware::from_fn(traces::request))
        .with_state(app)
}

/// The operators' interface.
pub(crate) fn admin_router(app: Arc<App>) -> Router {
    admin::router()
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&app),
            admin::access::authenticate,
        ))
        // Outside the token: supervisors may ask without one.
        .route("/healthz", get(health::well))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .merge(admin::console::routes())
        .layer(DefaultBodyLimit::max(MAX_RUN_FILE_BYTES))
        .layer(axum::middleware::map_response(secure))
        .layer(axum::middleware::from_fn(traces::request))
        .with_state(app)
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!("There is nothing at {}.", uri.path()))
}

async fn wrong_method() -> Problem {
    Problem::wrong_method()
}

/// The page runs nothing but its own files; sockets to the own origin are part of `'self'`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Nothing of the device but the wake lock. The battery's state, which the volunteer's rules need, is open to
/// the own origin anyway, and browsers complain about its name here.
const PERMISSIONS_POLICY: &str = "accelerometer=(), autoplay=(), camera=(), display-capture=(), \
     geolocation=(), gyroscope=(), microphone=(), midi=(), payment=(), screen-wake-lock=(self), usb=()";

async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            PERMISSIONS_POLICY,
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(RESOURCE_POLICY)
        .or_insert(HeaderValue::from_static("same-origin"));
    response
}

/// The frame for other pages, which only those of admitted origins may show, and the script that makes one.
async fn embed(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_frame = request.uri().path() == "/embed.html";
    let is_script = request.uri().path() == "/embed.js";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if is_frame || is_script {
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    if is_frame {
        let policy = frame_policy(&app.config.allowed_origins);
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

/// The page's policy, but for the pages that may frame it. What is no plain origin is left out.
fn frame_policy(allowed_origins: &[String]) -> String {
    let is_plain = |origin: &&String| {
        let rest = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b";,'\"".contains(&b))
        })
    };
    let mut ancestors = "frame-ancestors 'self'".to_owned();
    for origin in allowed_origins.iter().filter(is_plain) {
        ancestors.push(' ');
        ancestors.push_str(origin.trim_end_matches('/'));
    }
    CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", &ancestors)
}

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Lets pages of admitted origins read what is public: their workers need the training data too.
async fn share(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| ws::is_admitted(origin, &app.config.allowed_origins));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admitted_origins_may_frame_and_nothing_slips_into_the_policy() {
        let none = frame_policy(&[]);
        assert!(none.ends_with("; frame-ancestors 'self'"), "{none}");
        let origins = [
            "https://blog.example/",
            "http://localhost:5173",
            "https://a.example; script-src *",
            "*",
            "https://",
        ];
        let policy = frame_policy(&origins.map(str::to_owned));
        let end = "; frame-ancestors 'self' https://blog.example http://localhost:5173";
        assert!(policy.ends_with(end), "{policy}");
        assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"));
    }
}
