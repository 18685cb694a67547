//! Identities that may not work here.

use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tabswarm_model::digest::Digest;

use super::limits::{MAX_BANS, MAX_ROWS};
use super::owner::Request;
use super::read::{digest, from_sql};
use super::records::bounded_text;
use super::write::to_sql;
use super::{Ledger, LedgerError};

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    /// Whose.
    pub(crate) identity: Digest,
    /// In the operator's words.
    pub(crate) reason: String,
    /// When it was made, in milliseconds since 1970.
    pub(crate) banned_ms: u64,
    /// It is over from then on; never if none.
    pub(crate) until_ms: Option<u64>,
}

impl Ban {
    /// Whether it holds at a time, in milliseconds since 1970.
    pub(crate) fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }
}

impl Ledger {
    /// Bans of identities behind `after`, by identity, also those that are over; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) async fn list_bans(
        &self,
        after: Option<Digest>,
        limit: u32,
    ) -> Result<Vec<Ban>, LedgerError> {
        let read = list(&self.readers, after, limit).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// An identity's ban, also one that is over.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) async fn ban_of(&self, identity: Digest) -> Result<Option<Ban>, LedgerError> {
        let read = of(&self.readers, identity).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// Stores a ban, in the place of one that there may be. It is on stable storage then.
    ///
    /// # Errors
    /// Where it can't be written, or there are too many.
    pub(crate) async fn ban(&self, ban: Ban) -> Result<(), LedgerError> {
        self.ask(|answer| Request::Ban(ban, answer)).await
    }

    /// Lifts a ban; whether there was one.
    ///
    /// # Errors
    /// Where it can't be written: then it still holds.
    pub(crate) async fn unban(&self, identity: Digest) -> Result<bool, LedgerError> {
        self.ask(|answer| Request::Unban(identity, answer)).await
    }
}

/// Stores a ban in the place of one that there may be; false if there are too many. Those that are over make room.
pub(super) async fn put(connection: &mut SqliteConnection, ban: &Ban) -> Result<bool, sqlx::Error> {
    const MAKE_ROOM: &str = "DELETE FROM bans WHERE until_ms <= ?";
    const COUNT: &str = "SELECT count(*) FROM bans WHERE identity <> ?";
    const PUT: &str = "INSERT INTO bans (identity, reason, banned_ms, until_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (identity) DO UPDATE SET reason = excluded.reason,
            banned_ms = excluded.banned_ms, until_ms = excluded.until_ms";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(MAKE_ROOM)
        .bind(to_sql(ban.banned_ms))
        .execute(&mut *transaction)
        .await?;
    let (others,): (i64,) = sqlx::query_as(COUNT)
        .bind(&ban.identity.0[..])
        .fetch_one(&mut *transaction)
        .await?;
    if from_sql(others) >= MAX_BANS {
        return Ok(false);
    }
    sqlx::query(PUT)
        .bind(&ban.identity.0[..])
        .bind(bounded_text(&ban.reason))
        .bind(to_sql(ban.banned_ms))
        .bind(ban.until_ms.map(to_sql))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Lifts a ban; whether there was one.
pub(super) async fn lift(
    connection: &mut SqliteConnection,
    identity: Digest,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM bans WHERE identity = ?")
        .bind(&identity.0[..])
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// An identity's ban, also one that is over.
async fn of(pool: &SqlitePool, identity: Digest) -> Result<Option<Ban>, sqlx::Error> {
    const SQL: &str = "SELECT identity, reason, banned_ms, until_ms FROM bans WHERE identity = ?";
    let found: Option<Row> = sqlx::query_as(SQL)
        .bind(&identity.0[..])
        .fetch_optional(pool)
        .await?;
    found.map(stored).transpose()
}

type Row = (Vec<u8>, String, i64, Option<i64>);

fn stored((identity, reason, banned_ms, until_ms): Row) -> Result<Ban, sqlx::Error> {
    Ok(Ban {
        identity: digest(&identity)?,
        reason,
        banned_ms: from_sql(banned_ms),
        until_ms: until_ms.map(from_sql),
    })
}

/// Bans of identities behind `after`, by identity, also those that are over.
async fn list(
    pool: &SqlitePool,
    after: Option<Digest>,
    limit: u32,
) -> Result<Vec<Ban>, sqlx::Error> {
    const SQL: &str = "SELECT identity, reason, banned_ms, until_ms FROM bans
        WHERE identity > ? ORDER BY identity LIMIT ?";
    // Before all digests.
    let after: &[u8] = after.as_ref().map_or(&[], |digest| &digest.0[..]);
    let found: Vec<Row> = sqlx::query_as(SQL)
        .bind(after)
        .bind(limit.min(MAX_ROWS))
        .fetch_all(pool)
        .await?;
    found.into_iter().map(stored).collect()
}
