//! The admin token: made, stored, compared.
//!
//! Only its hash is kept in memory for comparison; the comparison takes the same time wherever they differ.
//! The token itself appears in no log and no `Debug` output.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tabswarm_model::digest::Digest;
use thiserror::Error;

/// Shorter ones can be guessed.
const MIN_TOKEN_LEN: usize = 16;

/// A secret that opens the admin listener.
#[derive(Clone)]
pub struct AdminToken(String);

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// Why there is no admin token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// Too short or with spaces.
    #[error(
        "the admin token must have at least {MIN_TOKEN_LEN} visible ASCII characters; `openssl rand -hex 32` makes a good one"
    )]
    Unfit,
    /// Its file can't be read or written.
    #[error("the admin token file {} can't be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random numbers: {problem}")]
    Random {
        /// The system's message.
        problem: String,
    },
}

impl AdminToken {
    /// A token chosen by the operator.
    ///
    /// # Errors
    /// [`TokenError::Unfit`] for short ones.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() < MIN_TOKEN_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Unfit);
        }
        Ok(Self(text.to_owned()))
    }

    /// The token for an `Authorization` header.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads the token from its file.
    ///
    /// # Errors
    /// Where the file can't be read or holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(|source| TokenError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::new(&text)
    }

    /// Reads the token from its file, which is made with a fresh token if there is none.
    pub(crate) fn read_or_create(path: &Path) -> Result<Self, TokenError> {
        if path.exists() {
            return Self::read(path);
        }
        let token = Self(Digest(random_bytes()?).to_string());
        write_private(path, &token.0).map_err(|source| TokenError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(token)
    }
}

/// Bytes from the system's generator.
pub(crate) fn random_bytes() -> Result<[u8; 32], TokenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random {
        problem: error.to_string(),
    })?;
    Ok(bytes)
}

fn write_private(path: &Path, token: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// Checks requests against the token.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    expected: blake3::Hash,
}

impl Guard {
    /// A guard that lets this token in.
    pub(crate) fn new(token: &AdminToken) -> Self {
        Self {
            expected: blake3::hash(token.0.as_bytes()),
        }
    }

    /// Whether the request carries the token.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        // blake3's comparison of hashes takes constant time.
        scheme.eq_ignore_ascii_case("bearer")
            && blake3::hash(token.trim().as_bytes()) == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_the_token_opens() {
        let guard = Guard::new(&AdminToken::new("0123456789abcdef").unwrap());
        let admits = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            guard.admits(&headers)
        };
        assert!(admits(&["Bearer 0123456789abcdef"]));
        assert!(admits(&["bearer  0123456789abcdef"]));
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer 0123456789abcdeF"],
            &["Bearer 0123456789abcdef0"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!admits(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_is_made_once_and_is_private() {
        let scratch = Scratch::new("token");
        let path = scratch.path().join("admin-token");
        let first = AdminToken::read_or_create(&path).unwrap();
        let second = AdminToken::read_or_create(&path).unwrap();
        assert_eq!(first.reveal(), second.reveal());
        assert_eq!(first.reveal().len(), 64);
        assert!(!format!("{first:?}").contains(first.reveal()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn short_tokens_are_refused() {
        for unfit in [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdé…",
        ] {
            assert!(
                matches!(AdminToken::new(unfit), Err(TokenError::Unfit)),
                "{unfit}"
            );
        }
    }
}
