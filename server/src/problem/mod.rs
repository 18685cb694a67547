//! Errors of the HTTP interfaces, as `application/problem+json` (RFC 9457).

mod code;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use code::Code;

/// An error as clients see it. What only the operator may know goes to the log instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Code,
    /// For people: what happened this time and what to do.
    detail: String,
}

/// An error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemJson<'a> {
    /// The same for every problem of this code.
    title: &'a str,
    /// That of the answer.
    status: u16,
    /// For programs.
    code: Code,
    /// For people: what happened this time and what to do.
    detail: &'a str,
}

impl Problem {
    /// A problem.
    pub(crate) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    /// Its answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// See [`Code::BadQuery`].
    pub(crate) fn bad_query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadQuery, detail)
    }

    /// See [`Code::LedgerOff`].
    pub(crate) fn ledger_off(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::LedgerOff, detail)
    }

    /// See [`Code::NotFound`].
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    /// See [`Code::WrongMethod`].
    pub(crate) fn wrong_method() -> Self {
        let detail = "This address does not take this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::WrongMethod, detail)
    }

    /// It clashes with what there is.
    pub(crate) fn conflict(code: Code, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// It can be read, but makes no sense.
    pub(crate) fn unprocessable(code: Code, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// See [`Code::Internal`].
    pub(crate) fn internal() -> Self {
        let detail = "The server could not do it; its log says why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail)
    }

    /// See [`Code::GoingDown`].
    pub(crate) fn going_down() -> Self {
        let detail = "The server is going down; try again in a minute.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::GoingDown, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemJson {
            title: self.code.title(),
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
