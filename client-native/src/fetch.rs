//! HTTP: the data set's manifest and chunks, each checked, with a bounded number of attempts.
//!
//! Everything here blocks and runs on the runtime's threads for blocking work.

use std::io::Read as _;
use std::time::Duration;

use thiserror::Error;
use tracing::debug;
use ureq::Agent;

use crate::address::ServerAddress;
use crate::limits::{FETCH_ATTEMPTS, FETCH_CONNECT_TIMEOUT, FETCH_RETRY_WAIT, FETCH_TIMEOUT};

/// Why something could not be fetched.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// No answer, or half of one.
    #[error("cannot fetch {url}: {message}")]
    Transport { url: String, message: String },
    /// An answer that is not 200.
    #[error("cannot fetch {url}: the server answered with HTTP status {status}")]
    Status { url: String, status: u16 },
    /// More bytes than such a thing has.
    #[error("{url} has more than {limit} bytes")]
    TooLong { url: String, limit: usize },
    /// Not what was asked for.
    #[error("{url} is not what was expected: {problem}")]
    Wrong { url: String, problem: String },
}

impl FetchError {
    /// Whether another attempt may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Wrong { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            Self::TooLong { .. } => false,
        }
    }
}

/// Fetches from one server.
#[derive(Debug)]
pub(crate) struct HttpClient {
    agent: Agent,
    server: ServerAddress,
}

impl HttpClient {
    pub(crate) fn new(server: ServerAddress) -> Self {
        let config = Agent::config_builder()
            .user_agent(crate::SOFTWARE)
            .timeout_connect(Some(FETCH_CONNECT_TIMEOUT))
            .timeout_global(Some(FETCH_TIMEOUT))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            server,
        }
    }

    /// Fetches `path` and lets `check` make something of the bytes; tries again where that may help.
    pub(crate) fn get<T>(
        &self,
        path: &str,
        max_bytes: usize,
        mut check: impl FnMut(&[u8]) -> Result<T, String>,
    ) -> Result<T, FetchError> {
        let url = self.server.http_url(path);
        let mut attempt = || {
            let bytes = self.get_once(&url, max_bytes)?;
            check(&bytes).map_err(|problem| FetchError::Wrong {
                url: url.clone(),
                problem,
            })
        };
        for failures in 0..FETCH_ATTEMPTS - 1 {
            match attempt() {
                Err(error) if error.is_passing() => {
                    debug!(%error, "fetch failed, trying again");
                    std::thread::sleep(FETCH_RETRY_WAIT * 2_u32.pow(failures) + jitter());
                }
                done => return done,
            }
        }
        attempt()
    }

    fn get_once(&self, url: &str, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
        let transport = |message: String| FetchError::Transport {
            url: url.to_owned(),
            message,
        };
        let mut response = self
            .agent
            .get(url)
            .call()
            .map_err(|error| transport(error.to_string()))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status {
                url: url.to_owned(),
                status,
            });
        }
        // The limit is on what comes out of the decompressor.
        let mut bytes = Vec::new();
        let limit = u64::try_from(max_bytes).map_or(u64::MAX, |limit| limit.saturating_add(1));
        let body = response.body_mut().with_config().limit(limit).reader();
        body.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| transport(error.to_string()))?;
        if bytes.len() > max_bytes {
            return Err(FetchError::TooLong {
                url: url.to_owned(),
                limit: max_bytes,
            });
        }
        Ok(bytes)
    }
}

/// Up to a quarter of a second, so that a swarm does not retry in step.
fn jitter() -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    Duration::from_millis(u64::from(random % 250))
}
