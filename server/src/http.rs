//! Small parts of HTTP that several handlers need.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::dataset::brotli;
use crate::limits::COMPRESS_JSON_BYTES;

/// For what its address names by content.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Fast enough for a request's own thread: below a millisecond for the longest history.
const JSON_BROTLI_QUALITY: u32 = 3;

/// Whether the client takes brotli.
pub(crate) fn accepts_brotli(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameters
            .trim()
            .strip_prefix("q=")
            .map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("br") && quality.is_ok_and(|quality| quality > 0.0)
    })
}

/// Whether the client has what this tag names.
pub(crate) fn has_etag(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}

/// A JSON answer that is never stored, compressed where that helps.
pub(crate) fn json<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("answers have string keys and finite numbers only");
    let fixed = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept-encoding"),
    ];
    if body.len() > COMPRESS_JSON_BYTES && accepts_brotli(headers) {
        let encoding = [(header::CONTENT_ENCODING, "br")];
        return (fixed, encoding, brotli(&body, JSON_BROTLI_QUALITY)).into_response();
    }
    (fixed, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn brotli_is_sent_to_those_who_take_it() {
        let accepts = |value: &str| accepts_brotli(&headers(header::ACCEPT_ENCODING, value));
        assert!(accepts("gzip, deflate, br, zstd"));
        assert!(accepts("br;q=0.5"));
        for refused in ["", "gzip", "br;q=0", "brotli", "br;q=much"] {
            assert!(!accepts(refused), "{refused}");
        }
        assert!(!accepts_brotli(&HeaderMap::new()));
    }

    #[test]
    fn etags_are_compared_weakly() {
        let etag = HeaderValue::from_static("\"abc\"");
        let has = |value: &str| has_etag(&headers(header::IF_NONE_MATCH, value), &etag);
        assert!(has("\"abc\"") && has("\"x\", W/\"abc\"") && has("*"));
        assert!(!has("\"abcd\"") && !has("abc"));
    }
}
