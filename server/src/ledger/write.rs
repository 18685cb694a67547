//! The statements that write.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::limits::MAX_STORED_RECORDS;
use super::pending::{Pending, PendingCredits, Record};
use super::read::{digest, from_sql};
use super::records::{Reconciled, bounded_detail};

/// SQLite's integers have a sign; no real figure reaches their limit.
pub(super) fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes everything that waits in one transaction; the runs whose credits don't join on.
pub(super) async fn flush(
    connection: &mut SqliteConnection,
    pending: &Pending,
) -> Result<Vec<RunId>, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    write_runs(&mut transaction, pending).await?;
    write_identities(&mut transaction, pending).await?;
    let mut out_of_step = Vec::new();
    for (&run, credits) in &pending.credits {
        if !write_credits(&mut transaction, run, credits).await? {
            out_of_step.push(run);
        }
    }
    write_records(&mut transaction, pending).await?;
    transaction.commit().await?;
    Ok(out_of_step)
}

async fn write_runs(
    connection: &mut SqliteConnection,
    pending: &Pending,
) -> Result<(), sqlx::Error> {
    const SQL: &str = "INSERT INTO runs (run, name, recorded_ms) VALUES (?, ?, ?)
        ON CONFLICT (run) DO UPDATE SET name = excluded.name,
            recorded_ms = coalesce(recorded_ms, excluded.recorded_ms)";
    for (run, record) in &pending.runs {
        sqlx::query(SQL)
            .bind(run.0)
            .bind(&record.name)
            .bind(to_sql(record.at_ms))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn write_identities(
    connection: &mut SqliteConnection,
    pending: &Pending,
) -> Result<(), sqlx::Error> {
    const SQL: &str =
        "INSERT INTO identities (identity, kind, software, first_seen_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?4)
        ON CONFLICT (identity) DO UPDATE SET kind = excluded.kind, software = excluded.software,
            last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)";
    for (identity, sighting) in &pending.identities {
        sqlx::query(SQL)
            .bind(&identity.0[..])
            .bind(sighting.kind.name())
            .bind(&sighting.software)
            .bind(to_sql(sighting.at_ms))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// False if they don't join on to what is there, and nothing was written.
async fn write_credits(
    connection: &mut SqliteConnection,
    run: RunId,
    credits: &PendingCredits,
) -> Result<bool, sqlx::Error> {
    // A sum that overflowed would become a floating-point number.
    const SQL: &str = "INSERT INTO credits (run, identity, samples) VALUES (?, ?, ?)
        ON CONFLICT (run, identity) DO UPDATE SET
            samples = samples + min(excluded.samples, 9223372036854775807 - samples)";
    let credited = credited_sequence(connection, run).await?;
    if credits.through <= credited {
        // Told again after a restart.
        return Ok(true);
    }
    if credits.after != credited {
        return Ok(false);
    }
    for (identity, &samples) in &credits.deltas {
        sqlx::query(SQL)
            .bind(run.0)
            .bind(&identity.0[..])
            .bind(to_sql(samples))
            .execute(&mut *connection)
            .await?;
    }
    set_credited_sequence(connection, run, credits.through).await?;
    Ok(true)
}

async fn credited_sequence(
    connection: &mut SqliteConnection,
    run: RunId,
) -> Result<u64, sqlx::Error> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT credited_sequence FROM runs WHERE run = ?")
        .bind(run.0)
        .fetch_optional(connection)
        .await?;
    Ok(row.map_or(0, |(sequence,)| from_sql(sequence)))
}

async fn set_credited_sequence(
    connection: &mut SqliteConnection,
    run: RunId,
    sequence: u64,
) -> Result<(), sqlx::Error> {
    const SQL: &str = "INSERT INTO runs (run, credited_sequence) VALUES (?, ?)
        ON CONFLICT (run) DO UPDATE SET credited_sequence = excluded.credited_sequence";
    sqlx::query(SQL)
        .bind(run.0)
        .bind(to_sql(sequence))
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_records(
    connection: &mut SqliteConnection,
    pending: &Pending,
) -> Result<(), sqlx::Error> {
    if pending.records.is_empty() {
        return Ok(());
    }
    for record in &pending.records {
        write_record(connection, record).await?;
    }
    for sql in [
        "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?",
        "DELETE FROM audits WHERE id <= (SELECT max(id) FROM audits) - ?",
    ] {
        sqlx::query(sql)
            .bind(to_sql(MAX_STORED_RECORDS))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn write_record(
    connection: &mut SqliteConnection,
    record: &Record,
) -> Result<(), sqlx::Error> {
    const EVENT: &str = "INSERT INTO events (at_ms, kind, run, detail) VALUES (?, ?, ?, ?)";
    const AUDIT: &str = "INSERT INTO audits (at_ms, run, identity, version, outcome, detail)
        VALUES (?, ?, ?, ?, ?, ?)";
    match record {
        Record::Event {
            at_ms,
            kind,
            run,
            detail,
        } => sqlx::query(EVENT)
            .bind(to_sql(*at_ms))
            .bind(kind)
            .bind(run.map(|run| run.0))
            .bind(detail),
        Record::Audit { at_ms, audit } => sqlx::query(AUDIT)
            .bind(to_sql(*at_ms))
            .bind(audit.run.0)
            .bind(&audit.identity.0[..])
            .bind(to_sql(audit.version.0))
            .bind(&audit.outcome)
            .bind(bounded_detail(&audit.detail)),
    }
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes a run's credits those that its log and snapshots have at `sequence`.
pub(super) async fn reconcile(
    connection: &mut SqliteConnection,
    run: RunId,
    sequence: u64,
    mut credits: BTreeMap<Digest, u64>,
) -> Result<Reconciled, sqlx::Error> {
    const READ: &str = "SELECT identity, samples FROM credits WHERE run = ?";
    const REMOVE: &str = "DELETE FROM credits WHERE run = ? AND identity = ?";
    const PUT: &str = "INSERT INTO credits (run, identity, samples) VALUES (?, ?, ?)
        ON CONFLICT (run, identity) DO UPDATE SET samples = excluded.samples";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let sequence_before = credited_sequence(&mut transaction, run).await?;
    let stored: Vec<(Vec<u8>, i64)> = sqlx::query_as(READ)
        .bind(run.0)
        .fetch_all(&mut *transaction)
        .await?;
    let mut rows_corrected = 0;
    for (identity, samples) in stored {
        let identity = digest(&identity)?;
        match credits.get(&identity) {
            Some(&right) if to_sql(right) == samples => {
                credits.remove(&identity);
            }
            // Put below.
            Some(_) => {}
            None => {
                sqlx::query(REMOVE)
                    .bind(run.0)
                    .bind(&identity.0[..])
                    .execute(&mut *transaction)
                    .await?;
                rows_corrected += 1;
            }
        }
    }
    for (identity, samples) in credits {
        sqlx::query(PUT)
            .bind(run.0)
            .bind(&identity.0[..])
            .bind(to_sql(samples))
            .execute(&mut *transaction)
            .await?;
        rows_corrected += 1;
    }
    if sequence_before != sequence || rows_corrected > 0 {
        set_credited_sequence(&mut transaction, run, sequence).await?;
    }
    transaction.commit().await?;
    Ok(Reconciled {
        sequence_before,
        rows_corrected,
    })
}

/// Closes a connection; what SQLite has to say then changes nothing any more.
pub(super) async fn close(path: &Path, connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(path = %path.display(), %error, "the ledger was not closed cleanly");
    }
}
