//! Volunteers who chose to be named, and how everybody stands.
//!
//! An identity lasts as long as a worker's session. A volunteer who wants to be on the leaderboard makes a key,
//! whose hash is stored here with the name, and joins each of their identities to it. The key never is stored.

use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::limits::{MAX_MEMBERSHIPS, MAX_ROWS, MAX_VOLUNTEERS};
use super::read::from_sql;
use super::write::to_sql;

/// A name, and the identity to which it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naming {
    /// blake3 of the volunteer's key.
    pub(crate) volunteer: Digest,
    /// One of the volunteer's identities.
    pub(crate) identity: Digest,
    /// What the leaderboard shows.
    pub(crate) name: String,
    /// Now, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// It stands on the leaderboard.
    Yes,
    /// The identity has no credit: names are for those who helped.
    NoCredit,
    /// Another volunteer has it.
    Taken,
    /// There are too many volunteers, or too many identities of this one.
    TooMany,
}

/// A line of the leaderboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    /// As the volunteer chose it.
    pub(crate) name: String,
    /// Samples of all their identities.
    pub(crate) samples: u64,
}

/// How an identity stands among all that were credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its samples.
    pub(crate) samples: u64,
    /// Identities with more samples, plus one.
    pub(crate) rank: u64,
    /// Identities with credit.
    pub(crate) identities: u64,
}

/// Stores or changes a volunteer's name and joins the identity to it.
pub(super) async fn name(
    connection: &mut SqliteConnection,
    naming: &Naming,
) -> Result<Named, sqlx::Error> {
    const CREDIT: &str = "SELECT EXISTS (SELECT 1 FROM credits WHERE identity = ? AND samples > 0)";
    const TAKEN: &str =
        "SELECT EXISTS (SELECT 1 FROM volunteers WHERE folded = ? AND volunteer <> ?)";
    // Counts that leave this volunteer and this identity out: changing a name takes no more room.
    const COUNTS: &str = "SELECT (SELECT count(*) FROM volunteers WHERE volunteer <> ?1),
        (SELECT count(*) FROM memberships WHERE volunteer = ?1 AND identity <> ?2)";
    const PUT: &str = "INSERT INTO volunteers (volunteer, name, folded, since_ms)
        VALUES (?, ?, ?, ?) ON CONFLICT (volunteer) DO UPDATE
        SET name = excluded.name, folded = excluded.folded";
    const JOIN: &str = "INSERT INTO memberships (identity, volunteer) VALUES (?, ?)
        ON CONFLICT (identity) DO UPDATE SET volunteer = excluded.volunteer";
    let folded = naming.name.to_lowercase();
    let (volunteer, identity) = (&naming.volunteer.0[..], &naming.identity.0[..]);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (has_credit,): (bool,) = sqlx::query_as(CREDIT)
        .bind(identity)
        .fetch_one(&mut *transaction)
        .await?;
    if !has_credit {
        return Ok(Named::NoCredit);
    }
    let (is_taken,): (bool,) = sqlx::query_as(TAKEN)
        .bind(&folded)
        .bind(volunteer)
        .fetch_one(&mut *transaction)
        .await?;
    if is_taken {
        return Ok(Named::Taken);
    }
    let (volunteers, memberships): (i64, i64) = sqlx::query_as(COUNTS)
        .bind(volunteer)
        .bind(identity)
        .fetch_one(&mut *transaction)
        .await?;
    if from_sql(volunteers) >= MAX_VOLUNTEERS || from_sql(memberships) >= MAX_MEMBERSHIPS {
        return Ok(Named::TooMany);
    }
    sqlx::query(PUT)
        .bind(volunteer)
        .bind(&naming.name)
        .bind(&folded)
        .bind(to_sql(naming.at_ms))
        .execute(&mut *transaction)
        .await?;
    sqlx::query(JOIN)
        .bind(identity)
        .bind(volunteer)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Named::Yes)
}

/// Forgets a volunteer's name and which identities are theirs; whether there was one.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    volunteer: Digest,
) -> Result<bool, sqlx::Error> {
    const LEAVE: &str = "DELETE FROM memberships WHERE volunteer = ?";
    const REMOVE: &str = "DELETE FROM volunteers WHERE volunteer = ?";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(LEAVE)
        .bind(&volunteer.0[..])
        .execute(&mut *transaction)
        .await?;
    let done = sqlx::query(REMOVE)
        .bind(&volunteer.0[..])
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// The named volunteers with the most samples, most first: of a run, or of all runs together.
pub(super) async fn leaders(
    pool: &SqlitePool,
    run: Option<RunId>,
    limit: u32,
) -> Result<Vec<Leader>, sqlx::Error> {
    const SQL: &str = "SELECT name, sum(samples) AS total
        FROM volunteers JOIN memberships USING (volunteer) JOIN credits USING (identity)
        WHERE ?1 IS NULL OR run = ?1
        GROUP BY volunteer HAVING total > 0 ORDER BY total DESC, folded LIMIT ?2";
    let found: Vec<(String, i64)> = sqlx::query_as(SQL)
        .bind(run.map(|run| run.0))
        .bind(limit.min(MAX_ROWS))
        .fetch_all(pool)
        .await?;
    let leaders = found.into_iter().map(|(name, samples)| Leader {
        name,
        samples: from_sql(samples),
    });
    Ok(leaders.collect())
}

/// How an identity stands in a run.
pub(super) async fn standing(
    pool: &SqlitePool,
    run: RunId,
    identity: Digest,
) -> Result<Standing, sqlx::Error> {
    // One statement, so that all is of one moment.
    const SQL: &str = "WITH own (samples) AS (
            SELECT coalesce((SELECT samples FROM credits WHERE run = ?1 AND identity = ?2), 0))
        SELECT own.samples,
            (SELECT count(*) FROM credits WHERE run = ?1 AND credits.samples > own.samples),
            (SELECT count(*) FROM credits WHERE run = ?1 AND credits.samples > 0)
        FROM own";
    let (samples, better, identities): (i64, i64, i64) = sqlx::query_as(SQL)
        .bind(run.0)
        .bind(&identity.0[..])
        .fetch_one(pool)
        .await?;
    Ok(Standing {
        samples: from_sql(samples),
        rank: from_sql(better) + 1,
        identities: from_sql(identities),
    })
}
