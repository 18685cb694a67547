//! Errors of the HTTP interfaces, as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error as clients see it. What only the operator may know goes to the log instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// For programs: never changes.
    code: &'static str,
    /// For people: the same for every problem of this code.
    title: &'static str,
    /// For people: what happened this time and what to do.
    detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    /// A problem.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
        }
    }

    /// The query of the address can't be read or asks for what there is not.
    pub(crate) fn bad_query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", "Bad query", detail)
    }

    /// There are no answers from the ledger.
    pub(crate) fn ledger_off(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger_off",
            "Ledger off",
            detail,
        )
    }

    /// There is nothing at this address.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    /// The address does not take this method.
    pub(crate) fn wrong_method() -> Self {
        let detail = "This address does not take this method.";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong_method",
            "Method not allowed",
            detail,
        )
    }

    /// The server can't do it; the reason is in its log.
    pub(crate) fn internal() -> Self {
        let detail = "The server could not do it; its log says why.";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            detail,
        )
    }

    /// The server goes down.
    pub(crate) fn going_down() -> Self {
        let detail = "The server is going down; try again in a minute.";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "going_down",
            "Going down",
            detail,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            title: self.title,
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
