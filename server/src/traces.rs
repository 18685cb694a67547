//! Traces for a collector that speaks OTLP, the protocol of OpenTelemetry: how long a request took, and what became of an
//! update on its way from the socket to the next version.
//!
//! Spans have a target of their own, so that no filter of log lines is about them, and a level that log lines have only when
//! asked for: without a collector a span costs a comparison. Requests have their route and not their address, and no span has
//! a token or who sent something.
//!
//! What sends them is only there with the cargo feature `traces`.

#[cfg(feature = "traces")]
mod with_collector;
#[cfg(not(feature = "traces"))]
mod without;

use std::str::FromStr;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument as _, debug_span};
use tracing_subscriber::{Layer, Registry};

#[cfg(feature = "traces")]
pub(crate) use with_collector::{Sending, start};
#[cfg(not(feature = "traces"))]
pub(crate) use without::{Sending, start};

/// Target of all spans.
pub(crate) const TARGET: &str = "tabswarm::traces";

/// What turns spans into traces.
type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// A collector and how much it gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Collector {
    /// Where it listens.
    pub(crate) url: CollectorUrl,
    /// Share of traces that it gets, 0 to 1.
    pub(crate) ratio: f64,
}

/// `http://HOST[:PORT]`, where OTLP is expected at `/v1/traces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectorUrl(String);

#[cfg_attr(
    not(feature = "traces"),
    expect(dead_code, reason = "nothing is sent without the feature")
)]
impl CollectorUrl {
    fn of_traces(&self) -> String {
        format!("{}/v1/traces", self.0)
    }
}

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let authority = text.strip_prefix("http://").unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(fits) {
            let wants = "a collector is http:// and a host, such as http://127.0.0.1:4318; one that wants TLS is reached \
                         through one that runs here";
            return Err(wants.to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A share from 0 to 1, as an argument.
pub(crate) fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

/// A span for each request.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let span = debug_span!(
        target: TARGET,
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route.map(MatchedPath::as_str),
        http.response.status_code = Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_an_address() {
        for good in [
            "http://127.0.0.1:4318",
            "http://collector/",
            "http://[::1]:4318",
        ] {
            assert!(good.parse::<CollectorUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://",
            "https://a.example",
            "127.0.0.1:4318",
            "http://a/b",
            "http://a@b",
            "http://a b",
        ] {
            let message = bad.parse::<CollectorUrl>().unwrap_err();
            assert!(message.contains("http://127.0.0.1:4318"), "{bad}");
        }
        assert_eq!(parse_ratio("0.25"), Ok(0.25));
        for bad in ["-1", "1.1", "NaN", "x", ""] {
            assert!(parse_ratio(bad).is_err(), "{bad}");
        }
    }
}
