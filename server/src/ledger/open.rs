//! Opening the file: its schema is brought up to date, and a damaged one is set aside.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection, SqlitePool};
use tracing::error;

use super::error::{LedgerError, sqlite_code, too_many_damaged};
use super::limits::{BUSY_TIMEOUT, MAX_DAMAGED, READER_TIMEOUT, READERS};

/// All migrations, oldest first: version, name, statements.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (
        1,
        "ledger",
        include_str!("../../migrations/0001_ledger.sql"),
    ),
    (
        2,
        "volunteers",
        include_str!("../../migrations/0002_volunteers.sql"),
    ),
    (
        3,
        "operators",
        include_str!("../../migrations/0003_operators.sql"),
    ),
];
/// What SQLite puts beside the file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// SQLite's results for a file that holds something else than what was written, or no database at all.
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;

/// The file and its writing connection.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: SqliteConnection,
    /// Where a damaged ledger was put, if there was one.
    pub(super) damaged: Option<PathBuf>,
}

/// Opens the file, made if missing. `max_pages` limits its size, for tests.
pub(super) async fn open(path: &Path, max_pages: Option<u32>) -> Result<Opened, LedgerError> {
    let mut damaged = None;
    if let Some(problem) = damage(path).await? {
        let aside = set_aside(path).map_err(|source| LedgerError::SetAside {
            path: path.to_owned(),
            problem: problem.clone(),
            source,
        })?;
        error!(
            path = %path.display(), aside = %aside.display(), problem,
            "the ledger was damaged and is set aside: credits are taken from the runs again, its events and tokens are lost"
        );
        damaged = Some(aside);
    }
    let failed = |source| LedgerError::Open {
        path: path.to_owned(),
        source,
    };
    let mut connection = connect(path, true, max_pages).await.map_err(failed)?;
    refuse_others(path, &mut connection).await?;
    // Not `run`, whose future the compiler can't show to be `Send`.
    migrator()
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|source| LedgerError::Migrate {
            path: path.to_owned(),
            source,
        })?;
    Ok(Opened {
        connection,
        damaged,
    })
}

/// A connection that writes. A transaction is on stable storage when its commit returns.
pub(super) async fn connect(
    path: &Path,
    create: bool,
    max_pages: Option<u32>,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut options = options(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    if let Some(pages) = max_pages {
        options = options.pragma("max_page_count", pages.to_string());
    }
    options.connect().await
}

/// Connections that read.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(READER_TIMEOUT)
        .connect_lazy_with(options(path).pragma("query_only", "on"))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.into())
}

/// Refuses a file of a newer or another program before anything in it is changed.
async fn refuse_others(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let tables =
        "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema";
    let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
    let (all, migrated): (i64, i64) = sqlx::query_as(tables)
        .fetch_one(&mut *connection)
        .await
        .map_err(LedgerError::reading(path))?;
    if migrated == 0 {
        if all == 0 {
            return Ok(());
        }
        let path = path.to_owned();
        return Err(LedgerError::Foreign { path });
    }
    let (found,): (i64,) = sqlx::query_as(newest)
        .fetch_one(connection)
        .await
        .map_err(LedgerError::reading(path))?;
    let known = MIGRATIONS.map(|(version, ..)| version)[MIGRATIONS.len() - 1];
    if found > known {
        let path = path.to_owned();
        return Err(LedgerError::Newer { path, found, known });
    }
    Ok(())
}

/// What is wrong with the file's content, if anything; its absence is not.
async fn damage(path: &Path) -> Result<Option<String>, LedgerError> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(LedgerError::Open {
                path: path.to_owned(),
                source: sqlx::Error::Io(error),
            });
        }
        Ok(_) => {}
    }
    match integrity(path).await {
        Ok(verdict) if verdict == "ok" => Ok(None),
        Ok(verdict) => Ok(Some(verdict)),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(source) => Err(LedgerError::Open {
            path: path.to_owned(),
            source,
        }),
    }
}

async fn integrity(path: &Path) -> Result<String, sqlx::Error> {
    let mut connection = options(path).connect().await?;
    let verdict = sqlx::query_as("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await;
    let closed = connection.close().await;
    let (verdict,): (String,) = verdict?;
    closed?;
    Ok(verdict)
}

/// Whether SQLite found wrong content, rather than a full disk or a missing permission.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    matches!(sqlite_code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
}

/// Renames the file and its companions; the new name of the file.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |number| with_suffix(path, &format!(".damaged-{number}"));
    let aside = (1..=MAX_DAMAGED)
        .map(name)
        .find(|name| !name.exists())
        .ok_or_else(too_many_damaged)?;
    // The file goes last: a fresh one must not find the write-ahead log of the damaged one beside it.
    for companion in COMPANIONS {
        let from = with_suffix(path, companion);
        match std::fs::rename(&from, with_suffix(&aside, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, &aside)?;
    if cfg!(unix) {
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
