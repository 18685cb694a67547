//! Immutable bytes, named by their digests: parameters, manifests, chunks.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;
use tracing::error;

use crate::app::App;
use crate::extract::Path;
use crate::http::{IMMUTABLE, accepts_brotli, has_etag};
use crate::params::to_bytes;
use crate::problem::{Code, Problem};
use crate::view::View;

/// Parameters of a current or recent version, or of a snapshot, as little-endian `f32`.
pub(crate) async fn params(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = parse_digest(&digest)?;
    let view = app.view.get();
    let recent = view
        .runs
        .iter()
        .flat_map(|run| &run.recent)
        .find(|recent| recent.digest == digest);
    let bytes = match recent {
        Some(recent) => Bytes::from(to_bytes(&recent.params)),
        None => snapshot_params(&app, &view, digest).await?,
    };
    Ok(immutable(
        &headers,
        digest,
        "application/octet-stream",
        Body::plain(bytes),
    ))
}

async fn snapshot_params(app: &Arc<App>, view: &View, digest: Digest) -> Result<Bytes, Problem> {
    let key = format!("params/{digest}");
    if let Some(bytes) = app.blobs.get(&key) {
        return Ok(bytes);
    }
    let found = view.runs.iter().find_map(|run| {
        let info = run
            .snapshots
            .iter()
            .find(|info| info.params_digest == digest)?;
        Some((Arc::clone(&run.facts), ParamVersion(info.id.version)))
    });
    let Some((facts, version)) = found else {
        let detail =
            "These parameters are neither recent nor in a snapshot; ask the run for its newest.";
        return Err(Problem::not_found(detail));
    };
    let read = tokio::task::spawn_blocking(move || {
        let params = facts
            .store
            .snapshots()
            .params(version, &facts.run.graph().layout)?;
        Ok::<_, tabswarm_store::StoreError>(to_bytes(&params))
    });
    match read.await {
        Ok(Ok(bytes)) => {
            let bytes = Bytes::from(bytes);
            app.blobs.put(key, bytes.clone());
            Ok(bytes)
        }
        // An old snapshot may be removed just now.
        Ok(Err(problem)) => Err(unreadable(&problem.to_string())),
        Err(panic) => Err(unreadable(&panic.to_string())),
    }
}

/// A training set's manifest.
pub(crate) async fn dataset(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = parse_digest(&digest)?;
    let path = app.store.training.manifest_path(digest);
    let bytes = file(&app, format!("dataset/{digest}"), path).await?;
    Ok(immutable(
        &headers,
        digest,
        "application/json",
        Body::plain(bytes),
    ))
}

/// A chunk of a training set, in brotli form for those who take it.
pub(crate) async fn chunk(
    State(app): State<Arc<App>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = parse_digest(&digest)?;
    let store = &app.store.training;
    let body = if accepts_brotli(&headers) {
        let bytes = file(
            &app,
            format!("chunk/{digest}.br"),
            store.brotli_path(digest),
        )
        .await?;
        Body {
            bytes,
            is_brotli: true,
        }
    } else {
        Body::plain(file(&app, format!("chunk/{digest}"), store.chunk_path(digest)).await?)
    };
    Ok(immutable(
        &headers,
        digest,
        "application/octet-stream",
        body,
    ))
}

async fn file(app: &App, key: String, path: PathBuf) -> Result<Bytes, Problem> {
    if let Some(bytes) = app.blobs.get(&key) {
        return Ok(bytes);
    }
    let read = tokio::task::spawn_blocking(move || std::fs::read(path));
    match read.await {
        Ok(Ok(bytes)) => {
            let bytes = Bytes::from(bytes);
            app.blobs.put(key, bytes.clone());
            Ok(bytes)
        }
        Ok(Err(problem)) if problem.kind() == std::io::ErrorKind::NotFound => {
            Err(Problem::not_found("There is nothing of this digest."))
        }
        Ok(Err(problem)) => Err(unreadable(&problem.to_string())),
        Err(panic) => Err(unreadable(&panic.to_string())),
    }
}

/// A digest of an address.
pub(crate) fn parse_digest(digest: &str) -> Result<Digest, Problem> {
    Digest::from_hex(digest).ok_or_else(|| {
        let detail = "A digest is 64 lower-case hexadecimal digits.";
        Problem::new(StatusCode::BAD_REQUEST, Code::BadDigest, detail)
    })
}

fn unreadable(problem: &str) -> Problem {
    error!(problem, "stored data can't be read");
    Problem::internal()
}

struct Body {
    bytes: Bytes,
    is_brotli: bool,
}

impl Body {
    fn plain(bytes: Bytes) -> Self {
        Self {
            bytes,
            is_brotli: false,
        }
    }
}

/// Bytes in brotli form for those who take it.
pub(super) fn compressible(
    headers: &HeaderMap,
    digest: Digest,
    plain: Bytes,
    compressed: Bytes,
) -> Response {
    let is_brotli = accepts_brotli(headers);
    let bytes = if is_brotli { compressed } else { plain };
    let body = Body { bytes, is_brotli };
    immutable(headers, digest, "application/octet-stream", body)
}

fn immutable(
    request: &HeaderMap,
    digest: Digest,
    content_type: &'static str,
    body: Body,
) -> Response {
    // Two forms of one resource must not share a tag.
    let suffix = if body.is_brotli { "-br" } else { "" };
    let etag =
        HeaderValue::try_from(format!("\"{digest}{suffix}\"")).expect("a digest is hexadecimal");
    let known = has_etag(request, &etag);
    let caching = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, content_type)];
    if body.is_brotli {
        let encoding = [(header::CONTENT_ENCODING, "br")];
        return (caching, content_type, encoding, body.bytes).into_response();
    }
    (caching, content_type, body.bytes).into_response()
}
