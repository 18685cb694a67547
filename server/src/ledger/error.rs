//! Why the ledger can't do what it was asked to. Every message says what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;
use thiserror::Error;

use super::limits::{MAX_BANS, MAX_DAMAGED, MAX_TOKENS};

/// See each variant.
#[derive(Debug, Error)]
pub(crate) enum LedgerError {
    /// The file can't be opened or made.
    #[error(
        "the ledger {} can't be opened: {source}; check the folder's permissions and free space", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's message.
        source: sqlx::Error,
    },
    /// A newer program made or changed it.
    #[error(
        "the ledger {} has schema {found}, and this program knows schemas up to {known}; run the newer program, or move the file away: credits are then taken from the runs again, but events and tokens are not",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Another program made it.
    #[error(
        "the ledger {} is another program's database: it has tables, but not the ledger's; nothing in it was changed. Move it away", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It can't be brought to the current schema.
    #[error(
        "the ledger {} can't be brought to this program's schema: {source}; check the disk's free space; if another program has changed the file, move it away", path.display()
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: MigrateError,
    },
    /// It is damaged and can't be moved out of the way.
    #[error(
        "the ledger {} is damaged ({problem}) and can't be set aside: {source}; move it away by hand", path.display()
    )]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The system's message.
        source: io::Error,
    },
    /// A statement failed.
    #[error("the ledger {} can't be {}: {source}; check the disk", path.display(), doing.participle())]
    Statement {
        /// The file.
        path: PathBuf,
        /// What it was for.
        doing: Doing,
        /// SQLite's message.
        source: sqlx::Error,
    },
    /// There are too many tokens.
    #[error("there are {MAX_TOKENS} valid tokens, which is the most; revoke some first")]
    TooManyTokens,
    /// There are too many bans.
    #[error("{MAX_BANS} identities are banned, which is the most; lift some bans first")]
    TooManyBans,
    /// The same token was issued before.
    #[error("this token was issued before; make a new one")]
    TokenExists,
    /// Its task is behind, or has ended.
    #[error("the ledger takes no requests at the moment; try again in a few seconds")]
    Busy,
}

/// What a statement was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A read.
    Reading,
    /// A write.
    Writing,
}

impl Doing {
    fn participle(self) -> &'static str {
        match self {
            Self::Reading => "read",
            Self::Writing => "written",
        }
    }
}

/// SQLite's results that say nothing about what is in the file: busy, no memory, read only, failing, full, can't
/// be opened.
const SQLITE_MAY_PASS: [u32; 6] = [5, 7, 8, 10, 13, 14];

impl LedgerError {
    /// Whether the file was made by a newer or another program, so that waiting does not help.
    pub(crate) fn is_foreign_file(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::Foreign { .. } => true,
            Self::Migrate { source, .. } => match source {
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                    sqlite_code(error).is_some_and(|code| !SQLITE_MAY_PASS.contains(&code))
                }
                _ => true,
            },
            _ => false,
        }
    }

    pub(super) fn reading(path: &Path) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Statement {
            path,
            doing: Doing::Reading,
            source,
        }
    }

    pub(super) fn writing(path: &Path) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Statement {
            path,
            doing: Doing::Writing,
            source,
        }
    }
}

/// SQLite's result, without what extends it.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

/// There is no free name for a damaged ledger.
pub(super) fn too_many_damaged() -> io::Error {
    io::Error::other(format!(
        "there are {MAX_DAMAGED} damaged ones already; remove some"
    ))
}
