//! What handlers take from a request, with problems instead of axum's plain texts.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tabswarm_model::run_file::MAX_RUN_FILE_BYTES;

use crate::problem::{Code, Problem};

/// Parts of the address.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

/// The query of the address.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// A body of JSON; its content type is not looked at.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A body of text.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) String);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let axum::extract::Path(read) = path.map_err(|error| {
            let detail = format!("{}.", error.body_text());
            Problem::new(StatusCode::BAD_REQUEST, Code::BadPath, detail)
        })?;
        Ok(Self(read))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let axum::extract::Query(read) =
            query.map_err(|error| Problem::bad_query(format!("{}.", error.body_text())))?;
        Ok(Self(read))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = whole(request, state).await?;
        let read = serde_json::from_slice(&bytes).map_err(|error| bad_body(&error.to_string()))?;
        Ok(Self(read))
    }
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = whole(request, state).await?;
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Self(text)),
            Err(error) => Err(bad_body(&format!("it is not UTF-8: {error}"))),
        }
    }
}

/// The whole body. The admin listener's limit is that of run files, and only handlers of that take bodies by this.
async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let read = Bytes::from_request(request, state).await;
    read.map_err(|rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("The body is longer than {MAX_RUN_FILE_BYTES} bytes.");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail)
        }
        _ => bad_body(&rejection.body_text()),
    })
}

fn bad_body(problem: &str) -> Problem {
    let detail = format!("The body can't be read: {problem}.");
    Problem::new(StatusCode::BAD_REQUEST, Code::BadBody, detail)
}
