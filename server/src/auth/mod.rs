//! Who may use the admin listener: the admin token of the data directory, and tokens that the ledger has.
//!
//! Only hashes are kept for comparison. No token appears in a log or in `Debug` output.

mod bearer;
mod scope;

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tabswarm_model::digest::Digest;
use thiserror::Error;

pub(crate) use bearer::bearer;
pub(crate) use scope::Scope;

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

/// Knows the admin token by its hash.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    expected: blake3::Hash,
}

impl Guard {
    /// A guard that knows this token.
    pub(crate) fn new(token: &AdminToken) -> Self {
        Self {
            expected: blake3::hash(token.0.as_bytes()),
        }
    }

    /// Whether it is the admin token.
    pub(crate) fn knows(&self, secret: &str) -> bool {
        // blake3's comparison of hashes takes constant time.
        blake3::hash(secret.as_bytes()) == self.expected
    }
}

/// Begins every token that is issued, so that tools which look for leaked secrets know one.
const ISSUED_PREFIX: &str = "tsw_";

/// A fresh token of 256 random bits, and the hash under which it is stored.
pub(crate) fn fresh_token() -> Result<(String, Digest), TokenError> {
    let token = format!("{ISSUED_PREFIX}{}", Digest(random_bytes()?));
    let hash = hash_of(&token);
    Ok((token, hash))
}

/// The hash under which a token is stored. It needs no salt: tokens are random and long.
pub(crate) fn hash_of(token: &str) -> Digest {
    Digest::of(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_the_admin_token_is_known() {
        let guard = Guard::new(&AdminToken::new("0123456789abcdef").unwrap());
        assert!(guard.knows("0123456789abcdef"));
        for wrong in ["", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!guard.knows(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn issued_tokens_differ_and_have_the_hash_that_is_looked_up() {
        let (first, hash) = fresh_token().unwrap();
        let (second, _) = fresh_token().unwrap();
        assert_ne!(first, second);
        assert!(
            first.starts_with("tsw_") && first.len() == 68,
            "{}",
            first.len()
        );
        assert_eq!(hash_of(&first), hash);
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
