//! The statements that read.

use sqlx::{SqliteExecutor, SqlitePool};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{ParamVersion, RunId};

use super::limits::MAX_ROWS;
use super::records::{Audit, Credit, Leaderboard, Place, StoredAudit, StoredEvent};
use super::write::to_sql;

/// A figure from the file; negative ones were not written by us.
pub(super) fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A digest from the file.
pub(super) fn digest(bytes: &[u8]) -> Result<Digest, sqlx::Error> {
    let bytes = bytes
        .try_into()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Digest(bytes))
}

fn rows(limit: u32) -> u32 {
    limit.min(MAX_ROWS)
}

/// Samples of an identity by run, in the order of runs.
pub(super) async fn credits_of(
    pool: &SqlitePool,
    identity: Digest,
) -> Result<Vec<(RunId, u64)>, sqlx::Error> {
    let credits: Vec<(u32, i64)> =
        sqlx::query_as("SELECT run, samples FROM credits WHERE identity = ? ORDER BY run LIMIT ?")
            .bind(&identity.0[..])
            .bind(MAX_ROWS)
            .fetch_all(pool)
            .await?;
    Ok(credits
        .into_iter()
        .map(|(run, samples)| (RunId(run), from_sql(samples)))
        .collect())
}

/// Identities with the most samples, most first: of a run, or of all runs together; those behind a place, if one
/// is given.
pub(super) async fn leaderboard(
    pool: &SqlitePool,
    run: Option<RunId>,
    after: Option<Place>,
    limit: u32,
) -> Result<Leaderboard, sqlx::Error> {
    const OF_RUN: &str = "SELECT identity, samples, kind, software, last_seen_ms
        FROM (SELECT identity, samples FROM credits WHERE run = ?2
                AND (?3 IS NULL OR samples < ?3 OR (samples = ?3 AND identity > ?4))
            ORDER BY samples DESC, identity LIMIT ?1)
        LEFT JOIN identities USING (identity) ORDER BY samples DESC, identity";
    const ALL: &str = "SELECT identity, samples, kind, software, last_seen_ms
        FROM (SELECT identity, sum(samples) AS samples FROM credits GROUP BY identity
                HAVING ?2 IS NULL OR sum(samples) < ?2 OR (sum(samples) = ?2 AND identity > ?3)
            ORDER BY samples DESC, identity LIMIT ?1)
        LEFT JOIN identities USING (identity) ORDER BY samples DESC, identity";
    const TOTAL: &str = "SELECT coalesce(sum(samples), 0) FROM credits";
    // One transaction, so that all is of one moment.
    let mut transaction = pool.begin().await?;
    let query = match run {
        Some(run) => sqlx::query_as(OF_RUN).bind(rows(limit)).bind(run.0),
        None => sqlx::query_as(ALL).bind(rows(limit)),
    };
    let query = query
        .bind(after.map(|place| to_sql(place.samples)))
        .bind(after.map(|place| place.identity.0.to_vec()));
    let best: Vec<CreditRow> = query.fetch_all(&mut *transaction).await?;
    let (sequence, samples) = match run {
        Some(run) => {
            let (sequence, samples) = standing(&mut *transaction, run).await?;
            (Some(sequence), samples)
        }
        None => {
            let (samples,): (i64,) = sqlx::query_as(TOTAL).fetch_one(&mut *transaction).await?;
            (None, from_sql(samples))
        }
    };
    transaction.commit().await?;
    let credits = best.into_iter().map(credit).collect::<Result<_, _>>()?;
    Ok(Leaderboard {
        sequence,
        samples,
        credits,
    })
}

type CreditRow = (Vec<u8>, i64, Option<String>, Option<String>, Option<i64>);

fn credit(row: CreditRow) -> Result<Credit, sqlx::Error> {
    let (identity, samples, kind, software, last_seen_ms) = row;
    Ok(Credit {
        identity: digest(&identity)?,
        samples: from_sql(samples),
        kind,
        software,
        last_seen_ms: last_seen_ms.map(from_sql),
    })
}

/// The log sequence up to which a run's credits are those of its log, and the sum of all its samples.
pub(super) async fn standing(
    executor: impl SqliteExecutor<'_>,
    run: RunId,
) -> Result<(u64, u64), sqlx::Error> {
    // One statement, so that both are of one moment.
    const SQL: &str = "SELECT
        coalesce((SELECT credited_sequence FROM runs WHERE run = ?1), 0),
        coalesce((SELECT sum(samples) FROM credits WHERE run = ?1), 0)";
    let (sequence, samples): (i64, i64) =
        sqlx::query_as(SQL).bind(run.0).fetch_one(executor).await?;
    Ok((from_sql(sequence), from_sql(samples)))
}

/// Events with larger ids than `after`, oldest first.
pub(super) async fn events(
    pool: &SqlitePool,
    after: u64,
    limit: u32,
    run: Option<RunId>,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    const ALL: &str =
        "SELECT id, at_ms, kind, run, detail FROM events WHERE id > ? ORDER BY id LIMIT ?";
    const OF_RUN: &str = "SELECT id, at_ms, kind, run, detail FROM events
        WHERE id > ? AND run = ? ORDER BY id LIMIT ?";
    let query = match run {
        None => sqlx::query_as(ALL).bind(to_sql(after)),
        Some(run) => sqlx::query_as(OF_RUN).bind(to_sql(after)).bind(run.0),
    };
    let found: Vec<EventRow> = query.bind(rows(limit)).fetch_all(pool).await?;
    found.into_iter().map(event).collect()
}

/// The newest events, oldest of them first.
pub(super) async fn newest_events(
    pool: &SqlitePool,
    limit: u32,
    run: Option<RunId>,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    const ALL: &str = "SELECT id, at_ms, kind, run, detail FROM events ORDER BY id DESC LIMIT ?1";
    const OF_RUN: &str = "SELECT id, at_ms, kind, run, detail FROM events
        WHERE run = ?2 ORDER BY id DESC LIMIT ?1";
    let query = match run {
        None => sqlx::query_as(ALL).bind(rows(limit)),
        Some(run) => sqlx::query_as(OF_RUN).bind(rows(limit)).bind(run.0),
    };
    let found: Vec<EventRow> = query.fetch_all(pool).await?;
    found.into_iter().rev().map(event).collect()
}

type EventRow = (i64, i64, String, Option<u32>, String);

fn event((id, at_ms, kind, run, detail): EventRow) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        id: from_sql(id),
        at_ms: from_sql(at_ms),
        kind,
        run: run.map(RunId),
        detail: json(&detail)?,
    })
}

/// Audits of an identity with larger ids than `after`, oldest first.
pub(super) async fn audits(
    pool: &SqlitePool,
    identity: Digest,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredAudit>, sqlx::Error> {
    const SQL: &str = "SELECT id, at_ms, run, version, outcome, detail FROM audits
        WHERE identity = ? AND id > ? ORDER BY id LIMIT ?";
    let found: Vec<(i64, i64, u32, i64, String, String)> = sqlx::query_as(SQL)
        .bind(&identity.0[..])
        .bind(to_sql(after))
        .bind(rows(limit))
        .fetch_all(pool)
        .await?;
    found
        .into_iter()
        .map(|(id, at_ms, run, version, outcome, detail)| {
            Ok(StoredAudit {
                id: from_sql(id),
                at_ms: from_sql(at_ms),
                audit: Audit {
                    run: RunId(run),
                    identity,
                    version: ParamVersion(from_sql(version)),
                    outcome,
                    detail: json(&detail)?,
                },
            })
        })
        .collect()
}

fn json(text: &str) -> Result<serde_json::Value, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
