//! Files that are not what was written.

use sqlx::{Connection as _, SqliteConnection};

use super::super::open::connect;
use super::*;

/// A closed ledger with credits and events.
async fn written(bed: &Bed) -> Vec<u8> {
    let ledger = bed.open().await;
    ledger.record_run(RUN, "a run");
    ledger.credit(batch(0, 30));
    for number in 0..50 {
        ledger.event("number", Some(RUN), &number.into());
    }
    ledger.close().await.unwrap();
    assert!(!bed.path().with_extension("db-wal").exists());
    std::fs::read(bed.path()).unwrap()
}

/// The file was set aside as it was, and the ledger works again with the run's credits.
async fn assert_rebuilt(bed: &Bed, number: u32, damaged: &[u8]) {
    let ledger = bed.open().await;
    let aside = bed
        .scratch
        .path()
        .join(format!("ledger.db.damaged-{number}"));
    assert_eq!(ledger.set_aside(), Some(&*aside));
    assert_eq!(std::fs::read(&aside).unwrap(), damaged);
    let reconciled = ledger.reconcile(RUN, 30, &credits_at(30)).await.unwrap();
    assert_eq!(reconciled.sequence_before, 0);
    assert_credits(&ledger, 30).await;
    ledger.flush().await.unwrap();
    let events = ledger.events(0, 10, None).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, "ledger-damaged");
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_rebuilt() {
    let bed = Bed::new("damaged");
    let good = written(&bed).await;
    let mut half = good.clone();
    half.truncate(good.len() / 2);
    let mut header = good.clone();
    header[3] ^= 0xff;
    let mut pages = good.clone();
    // All pages but the first, which has the schema.
    pages[4_096..].fill(0x5a);
    let cases: [&[u8]; 4] = [b"this is no database", &half, &header, &pages];
    for (number, case) in (1..).zip(cases) {
        std::fs::write(bed.path(), case).unwrap();
        assert_rebuilt(&bed, number, case).await;
    }
}

#[expect(clippy::print_stdout, reason = "the figure is what the test is for")]
#[tokio::test]
async fn a_flipped_bit_never_leaves_wrong_credits_unseen() {
    let bed = Bed::new("flips");
    let good = written(&bed).await;
    let (mut unharmed, mut aside, mut refused, mut degraded) = (0, 0, 0, 0);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..150 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let bit = usize::try_from(random >> 33).unwrap() % (8 * good.len());
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(bed.path(), &flipped).unwrap();
        match bed.try_open().await {
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("move"), "bit {bit}: {message}");
                refused += 1;
            }
            Ok(ledger) => {
                match ledger.reconcile(RUN, 30, &credits_at(30)).await {
                    Ok(_) => {
                        assert_credits(&ledger, 30).await;
                        if ledger.set_aside().is_some() {
                            aside += 1;
                        } else {
                            unharmed += 1;
                        }
                    }
                    Err(error) => {
                        assert!(ledger.status().degraded.is_some(), "bit {bit}: {error}");
                        degraded += 1;
                    }
                }
                ledger.close().await.ok();
                if let Some(aside) = ledger.set_aside() {
                    std::fs::remove_file(aside).unwrap();
                }
            }
        }
        for companion in ["db-wal", "db-shm"] {
            drop(std::fs::remove_file(bed.path().with_extension(companion)));
        }
    }
    println!(
        "150 flipped bits: {unharmed} harmless or corrected, {aside} set aside, {refused} refused, {degraded} degraded"
    );
    assert!(unharmed > 0 && aside > 0);
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let bed = Bed::new("again");
    let before = written(&bed).await;
    let ledger = bed.open().await;
    assert_credits(&ledger, 30).await;
    assert_eq!(ledger.set_aside(), None);
    ledger.close().await.unwrap();
    assert!(
        std::fs::read(bed.path()).unwrap() == before,
        "the file changed"
    );
}

async fn change(bed: &Bed, sql: &'static str) {
    let mut connection: SqliteConnection = connect(&bed.path(), false, None).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_a_remedy() {
    let bed = Bed::new("newer");
    written(&bed).await;
    change(
        &bed,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (99, 'of the future', 1, x'00', 0)",
    )
    .await;
    let before = std::fs::read(bed.path()).unwrap();
    let error = bed.try_open().await.unwrap_err();
    assert!(matches!(
        error,
        LedgerError::Newer {
            found: 99,
            known: 3,
            ..
        }
    ));
    assert!(error.is_foreign_file());
    let message = error.to_string();
    assert!(message.contains("run the newer program"), "{message}");
    assert!(
        std::fs::read(bed.path()).unwrap() == before,
        "the file changed"
    );
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let bed = Bed::new("foreign");
    let mut connection = connect(&bed.path(), true, None).await.unwrap();
    sqlx::query("CREATE TABLE runs (mileage)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let error = bed.try_open().await.unwrap_err();
    assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
    assert!(error.is_foreign_file());
    let mut connection = connect(&bed.path(), false, None).await.unwrap();
    let names: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_schema")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(names, [("runs".to_owned(),)]);
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let bed = Bed::new("missing-folder");
    let path = bed.scratch.path().join("missing").join(LEDGER_FILE);
    let error = Ledger::open(&path, |_| {}).await.unwrap_err().to_string();
    assert!(
        error.contains("missing") && error.contains("check"),
        "{error}"
    );
}
