//! Tokens: who may administer, join, or come back as which worker. Only their hashes are here.

use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tabswarm_model::digest::Digest;

use super::limits::{MAX_ROWS, MAX_TOKENS};
use super::read::from_sql;
use super::records::bounded_text;
use super::write::to_sql;
use crate::auth::Scope;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// The admin listener, for so much.
    Admin(Scope),
    /// Joining runs that aren't open to everyone.
    Join,
    /// Being one worker across its connections.
    Worker,
}

impl TokenKind {
    /// As it is stored.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin(_) => "admin",
            Self::Join => "join",
            Self::Worker => "worker",
        }
    }

    /// What it is good for on the admin listener.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Self::Admin(scope) => Some(scope),
            Self::Join | Self::Worker => None,
        }
    }

    fn from_sql(kind: &str, scope: Option<&str>) -> Result<Self, sqlx::Error> {
        match (kind, scope.and_then(Scope::from_name)) {
            ("admin", Some(scope)) => Ok(Self::Admin(scope)),
            ("join", None) => Ok(Self::Join),
            ("worker", None) => Ok(Self::Worker),
            _ => {
                let problem = format!("no token is of the kind {kind} and the scope {scope:?}");
                Err(sqlx::Error::Decode(problem.into()))
            }
        }
    }
}

/// A token to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewToken {
    /// blake3 of the token, which must be random and of at least 128 bits: the hash has no salt.
    pub(crate) hash: Digest,
    /// What it is good for.
    pub(crate) kind: TokenKind,
    /// For whom or what, in an operator's words.
    pub(crate) label: String,
    /// Now, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// It is void from then on, in milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredToken {
    /// Names it in commands and lists.
    pub(crate) id: u64,
    /// What it is good for.
    pub(crate) kind: TokenKind,
    /// For whom or what.
    pub(crate) label: String,
    /// When it was issued, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// It is void from then on.
    pub(crate) expires_ms: Option<u64>,
    /// It was revoked then.
    pub(crate) revoked_ms: Option<u64>,
}

impl StoredToken {
    /// Whether it opens anything at a time, in milliseconds since 1970.
    pub(crate) fn is_valid(&self, now_ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires| now_ms < expires)
    }
}

/// What became of a token to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issued {
    /// It has this id.
    As(u64),
    /// There are too many.
    TooMany,
    /// There is one with this hash.
    Twice,
}

/// Stores a token. Where there are too many, void ones make room.
pub(super) async fn issue(
    connection: &mut SqliteConnection,
    token: &NewToken,
) -> Result<Issued, sqlx::Error> {
    const MAKE_ROOM: &str = "DELETE FROM tokens WHERE revoked_ms IS NOT NULL OR expires_ms <= ?";
    const PUT: &str = "INSERT INTO tokens (hash, kind, scope, label, created_ms, expires_ms)
        VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    if count(&mut transaction).await? >= MAX_TOKENS {
        sqlx::query(MAKE_ROOM)
            .bind(to_sql(token.created_ms))
            .execute(&mut *transaction)
            .await?;
        if count(&mut transaction).await? >= MAX_TOKENS {
            return Ok(Issued::TooMany);
        }
    }
    let done = sqlx::query(PUT)
        .bind(&token.hash.0[..])
        .bind(token.kind.name())
        .bind(token.kind.scope().map(Scope::as_str))
        .bind(bounded_text(&token.label))
        .bind(to_sql(token.created_ms))
        .bind(token.expires_ms.map(to_sql))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    if done.rows_affected() == 0 {
        return Ok(Issued::Twice);
    }
    Ok(Issued::As(from_sql(done.last_insert_rowid())))
}

async fn count(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM tokens")
        .fetch_one(connection)
        .await?;
    Ok(from_sql(count))
}

/// Revokes a token; whether there is one with this id. The first revocation's time stays.
pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    id: u64,
    now_ms: u64,
) -> Result<bool, sqlx::Error> {
    const SQL: &str = "UPDATE tokens SET revoked_ms = coalesce(revoked_ms, ?) WHERE id = ?";
    let done = sqlx::query(SQL)
        .bind(to_sql(now_ms))
        .bind(to_sql(id))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

type Row = (
    i64,
    String,
    Option<String>,
    String,
    i64,
    Option<i64>,
    Option<i64>,
);

/// Tokens with larger ids than `after`, void ones too, oldest first.
pub(super) async fn list(
    pool: &SqlitePool,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredToken>, sqlx::Error> {
    const SQL: &str =
        "SELECT id, kind, scope, label, created_ms, expires_ms, revoked_ms FROM tokens
        WHERE id > ? ORDER BY id LIMIT ?";
    let found: Vec<Row> = sqlx::query_as(SQL)
        .bind(to_sql(after))
        .bind(limit.min(MAX_ROWS))
        .fetch_all(pool)
        .await?;
    found.into_iter().map(stored).collect()
}

/// The token with this hash. The caller checks [`StoredToken::is_valid`] and the kind.
pub(super) async fn lookup(
    pool: &SqlitePool,
    hash: Digest,
) -> Result<Option<StoredToken>, sqlx::Error> {
    const SQL: &str =
        "SELECT id, kind, scope, label, created_ms, expires_ms, revoked_ms FROM tokens
        WHERE hash = ?";
    let found: Option<Row> = sqlx::query_as(SQL)
        .bind(&hash.0[..])
        .fetch_optional(pool)
        .await?;
    found.map(stored).transpose()
}

fn stored(row: Row) -> Result<StoredToken, sqlx::Error> {
    let (id, kind, scope, label, created_ms, expires_ms, revoked_ms) = row;
    Ok(StoredToken {
        id: from_sql(id),
        kind: TokenKind::from_sql(&kind, scope.as_deref())?,
        label,
        created_ms: from_sql(created_ms),
        expires_ms: expires_ms.map(from_sql),
        revoked_ms: revoked_ms.map(from_sql),
    })
}
