//! The page: files built into the binary, with types, cache rules and brotli forms.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use rust_embed::RustEmbed;
use tabswarm_model::digest::Digest;

use crate::app::App;
use crate::dataset::brotli;
use crate::http::{IMMUTABLE, accepts_brotli, has_etag};
use crate::problem::Problem;

/// The files as the web build left them. Debug builds read them from disk when the server starts.
#[derive(RustEmbed)]
#[folder = "../www/dist"]
#[allow_missing = true]
struct Dist;

/// Shown where the server was built without the page.
const MISSING_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
     <title>Tabswarm</title><h1>The page is not part of this server</h1>\
     <p>It was built before the page was. Build the page with <code>cargo xtask web</code>, then the \
     server again. Headless workers can connect meanwhile.</p></html>";

/// Best ratio at which compressing the page takes well under a second.
const BROTLI_QUALITY: u32 = 9;
/// The build tool puts files with a hash in their name here.
const HASHED_FOLDER: &str = "assets/";
/// The operator's, which only the admin listener serves.
pub(crate) const CONSOLE_PAGE: &str = "admin.html";

/// All files of the page.
#[derive(Debug)]
pub(crate) struct Assets {
    files: BTreeMap<String, Asset>,
}

#[derive(Debug)]
struct Asset {
    bytes: Bytes,
    content_type: &'static str,
    etag: HeaderValue,
    cache_control: &'static str,
    /// Filled in by a thread after the start; until then the plain bytes are sent.
    brotli: OnceLock<Bytes>,
}

impl Asset {
    fn new(path: &str, bytes: Bytes) -> Self {
        let etag = format!("\"{}\"", Digest::of(&bytes));
        let cache_control = if path.starts_with(HASHED_FOLDER) {
            IMMUTABLE
        } else {
            "no-cache"
        };
        Self {
            content_type: content_type(path),
            etag: HeaderValue::try_from(etag).expect("a digest is hexadecimal"),
            cache_control,
            brotli: OnceLock::new(),
            bytes,
        }
    }
}

impl Assets {
    /// Loads all files and begins to compress them.
    pub(crate) fn load() -> io::Result<Arc<Self>> {
        let mut files = BTreeMap::new();
        for path in Dist::iter() {
            if let Some(file) = Dist::get(&path) {
                let bytes = Bytes::from(file.data.into_owned());
                files.insert(path.to_string(), Asset::new(&path, bytes));
            }
        }
        if !files.contains_key("index.html") {
            let page = Asset::new("index.html", Bytes::from_static(MISSING_PAGE.as_bytes()));
            files.insert("index.html".to_owned(), page);
        }
        let assets = Arc::new(Self { files });
        let of_thread = Arc::clone(&assets);
        thread::Builder::new()
            .name("compress-assets".to_owned())
            .spawn(move || of_thread.compress())?;
        Ok(assets)
    }

    /// A file, as small and as seldom as the browser lets it be sent.
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Response {
        let Some(asset) = self.files.get(path) else {
            return nothing_at(path);
        };
        let caching = [
            (header::ETAG, asset.etag.clone()),
            (
                header::CACHE_CONTROL,
                HeaderValue::from_static(asset.cache_control),
            ),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ];
        if has_etag(headers, &asset.etag) {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, asset.content_type)];
        match asset.brotli.get().filter(|_| accepts_brotli(headers)) {
            Some(compressed) => {
                let encoding = [(header::CONTENT_ENCODING, "br")];
                (caching, content_type, encoding, compressed.clone()).into_response()
            }
            None => (caching, content_type, asset.bytes.clone()).into_response(),
        }
    }

    fn compress(&self) {
        for asset in self.files.values() {
            let compressed = brotli(&asset.bytes, BROTLI_QUALITY);
            if compressed.len() < asset.bytes.len() {
                asset.brotli.get_or_init(|| Bytes::from(compressed));
            }
        }
    }
}

/// Serves the page and its files.
pub(crate) async fn serve(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Problem::wrong_method().into_response();
    }
    let path = uri.path().trim_start_matches('/');
    match path {
        "" => app.assets.answer("index.html", &headers),
        CONSOLE_PAGE => nothing_at(path),
        _ => app.assets.answer(path, &headers),
    }
}

fn nothing_at(path: &str) -> Response {
    Problem::not_found(format!("There is nothing at /{path}.")).into_response()
}

fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_cache_rules() {
        assert_eq!(content_type("assets/engine-1a2b.wasm"), "application/wasm");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
        let hashed = Asset::new("assets/main-1a2b.js", Bytes::from_static(b"1"));
        assert!(hashed.cache_control.contains("immutable"));
        let page = Asset::new("index.html", Bytes::from_static(b"1"));
        assert_eq!(page.cache_control, "no-cache");
        assert_eq!(page.etag, hashed.etag);
    }
}
