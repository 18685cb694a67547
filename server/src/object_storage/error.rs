//! What can go wrong with object storage. Every message says what, where, and what to check.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use thiserror::Error;

use super::limits::{MAX_NAME_BYTES, MAX_NAMES, MAX_OBJECT_BYTES};

/// Why a place can't be used at all.
#[derive(Debug, Error)]
pub(crate) enum ObjectStorageError {
    /// The URL is no place.
    #[error("`{url}` is no place for objects: {problem}; write s3://BUCKET/PREFIX")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The variables don't make a configuration.
    #[error(
        "objects at {url} can't be reached: {problem}; check AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Configuration {
        /// The place.
        url: String,
        /// What is wrong with them.
        problem: String,
    },
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Writing,
    Reading,
    Listing,
    Removing,
}

impl Doing {
    fn participle(self) -> &'static str {
        match self {
            Self::Writing => "written",
            Self::Reading => "read",
            Self::Listing => "listed",
            Self::Removing => "removed",
        }
    }
}

/// What failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A request, after its repetitions.
    Request(object_store::Error),
    /// It took longer than this.
    Slow(Duration),
    /// An object of so many bytes.
    TooLarge(u64),
    /// More names than a run has.
    TooMany,
    /// No name of ours.
    Name,
    /// What came back is not what was stored.
    Foreign,
}

const DENIED: (io::ErrorKind, &str) = (
    io::ErrorKind::PermissionDenied,
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what the bucket's policy lets them do",
);
const MISSING_BUCKET: (io::ErrorKind, &str) = (
    io::ErrorKind::Other,
    "check that the bucket exists and AWS_ENDPOINT_URL is right",
);
/// What S3 answers where a key may not do something, or is none.
const FORBIDDEN: &[&str] = &["403 Forbidden", "401 Unauthorized"];
const NO_BUCKET: &[&str] = &["NoSuchBucket"];

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        Self::Request(error)
    }
}

impl Failure {
    /// There is no such object. A missing bucket is something else, though servers answer it alike.
    pub(super) fn is_missing_object(&self) -> bool {
        matches!(self, Self::Request(object_store::Error::NotFound { .. })) && !self.says(NO_BUCKET)
    }

    /// Whether the answer has one of these texts: of lists, the client passes on nothing else.
    fn says(&self, texts: &[&str]) -> bool {
        let Self::Request(error) = self else {
            return false;
        };
        let answer = chain(error);
        texts.iter().any(|text| answer.contains(text))
    }

    /// The error for callers, which know system errors only.
    pub(super) fn at(self, doing: Doing, place: &str) -> io::Error {
        let (kind, remedy) = self.kind_and_remedy(doing);
        let problem = self.problem();
        let done = doing.participle();
        io::Error::new(
            kind,
            format!("{place} can't be {done}: {problem}; {remedy}"),
        )
    }

    fn kind_and_remedy(&self, doing: Doing) -> (io::ErrorKind, &'static str) {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        match self {
            Self::Request(PermissionDenied { .. } | Unauthenticated { .. }) => DENIED,
            Self::Request(_) if self.says(FORBIDDEN) => DENIED,
            Self::Request(_) if doing == Doing::Reading && self.is_missing_object() => {
                (io::ErrorKind::NotFound, "there is no such object")
            }
            Self::Request(NotFound { .. }) => MISSING_BUCKET,
            Self::Request(_) if self.says(NO_BUCKET) => MISSING_BUCKET,
            Self::Request(_) => (
                io::ErrorKind::Other,
                "check AWS_ENDPOINT_URL, AWS_REGION, the keys and the network",
            ),
            Self::Slow(_) => (io::ErrorKind::TimedOut, "check the network"),
            Self::TooLarge(_) => (io::ErrorKind::FileTooLarge, "choose a smaller model"),
            Self::TooMany => (
                io::ErrorKind::Other,
                "choose a prefix that nothing else uses",
            ),
            Self::Name => (
                io::ErrorKind::InvalidInput,
                "use letters, digits, dots, hyphens and underscores",
            ),
            Self::Foreign => (
                io::ErrorKind::InvalidData,
                "check that nothing else writes there",
            ),
        }
    }

    fn problem(&self) -> String {
        match self {
            Self::Request(error) => chain(error),
            Self::Slow(limit) => format!("it took longer than {} s", limit.as_secs()),
            Self::TooLarge(size) => {
                format!("it has {size} bytes, and {MAX_OBJECT_BYTES} are the most")
            }
            Self::TooMany => format!("there are more than {MAX_NAMES} objects"),
            Self::Name => format!("it is no name of 1 to {MAX_NAME_BYTES} fitting characters"),
            Self::Foreign => "what came back is not what was stored".to_owned(),
        }
    }
}

/// An error with its sources, without what an outer one repeats of an inner one.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let message = inner.to_string();
        if !text.contains(&message) {
            // Writing to a string can't fail.
            write!(text, ": {message}").ok();
        }
        source = inner.source();
    }
    text
}
