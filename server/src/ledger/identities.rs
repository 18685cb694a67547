//! All identities that the ledger knows anything of: those that were seen, credited or banned.

use sqlx::SqlitePool;
use tabswarm_model::digest::Digest;

use super::bans::Ban;
use super::limits::MAX_ROWS;
use super::read::{digest, from_sql};
use super::{Ledger, LedgerError};

/// What is known of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Digest of a worker's token.
    pub(crate) identity: Digest,
    /// Samples credited, of all runs.
    pub(crate) samples: u64,
    /// How it was seen; none where the ledger was made anew since.
    pub(crate) seen: Option<Seen>,
    /// Its ban, also one that is over.
    pub(crate) ban: Option<Ban>,
}

/// How an identity was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `browser` or `native`.
    pub(crate) kind: String,
    /// Name and version of its program, the last time.
    pub(crate) software: String,
    /// In milliseconds since 1970.
    pub(crate) first_ms: u64,
    /// In milliseconds since 1970.
    pub(crate) last_ms: u64,
}

impl Ledger {
    /// Identities behind `after`, by identity; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) async fn identities(
        &self,
        after: Option<Digest>,
        limit: u32,
    ) -> Result<Vec<Known>, LedgerError> {
        let read = list(&self.readers, after, limit).await;
        read.map_err(LedgerError::reading(&self.path))
    }
}

/// Identity and samples; kind, software, first and last seen; reason, beginning and end of the ban.
type Row = (
    Vec<u8>,
    i64,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
);

fn known(row: Row) -> Result<Known, sqlx::Error> {
    let (identity, samples, kind, software, first_ms, last_ms, reason, banned_ms, until_ms) = row;
    let identity = digest(&identity)?;
    let times = first_ms.zip(last_ms);
    let seen = kind.zip(software).zip(times);
    let ban = reason.zip(banned_ms);
    Ok(Known {
        identity,
        samples: from_sql(samples),
        seen: seen.map(|((kind, software), (first_ms, last_ms))| Seen {
            kind,
            software,
            first_ms: from_sql(first_ms),
            last_ms: from_sql(last_ms),
        }),
        ban: ban.map(|(reason, banned_ms)| Ban {
            identity,
            reason,
            banned_ms: from_sql(banned_ms),
            until_ms: until_ms.map(from_sql),
        }),
    })
}

async fn list(
    pool: &SqlitePool,
    after: Option<Digest>,
    limit: u32,
) -> Result<Vec<Known>, sqlx::Error> {
    // Each table is read no further than the page can reach.
    const SQL: &str = "WITH page AS (
            SELECT identity FROM (SELECT identity FROM identities
                WHERE identity > ?1 ORDER BY identity LIMIT ?2)
            UNION SELECT identity FROM (SELECT DISTINCT identity FROM credits
                WHERE identity > ?1 ORDER BY identity LIMIT ?2)
            UNION SELECT identity FROM (SELECT identity FROM bans
                WHERE identity > ?1 ORDER BY identity LIMIT ?2)
            ORDER BY identity LIMIT ?2)
        SELECT page.identity,
            (SELECT coalesce(sum(samples), 0) FROM credits WHERE credits.identity = page.identity),
            kind, software, first_seen_ms, last_seen_ms, reason, banned_ms, until_ms
        FROM page LEFT JOIN identities USING (identity) LEFT JOIN bans USING (identity)
        ORDER BY page.identity";
    // Before all digests.
    let after: &[u8] = after.as_ref().map_or(&[], |digest| &digest.0[..]);
    let found: Vec<Row> = sqlx::query_as(SQL)
        .bind(after)
        .bind(limit.min(MAX_ROWS))
        .fetch_all(pool)
        .await?;
    found.into_iter().map(known).collect()
}
