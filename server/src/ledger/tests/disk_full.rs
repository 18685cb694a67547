//! A disk that is full, and then is not.

use serde_json::json;

use super::super::limits::MAX_PENDING_RECORDS;
use super::super::{NewToken, TokenKind};
use super::*;

/// Room for the schema and a little more.
const PAGES: u64 = 40;

fn token(number: u64) -> NewToken {
    NewToken {
        hash: identity(number),
        kind: TokenKind::Join,
        label: "a class".to_owned(),
        created_ms: 1,
        expires_ms: None,
    }
}

/// Fills the file up to its limit; how many events were submitted.
async fn fill(ledger: &Ledger) -> u64 {
    let detail = json!("x".repeat(4_000));
    for submitted in 1..100 {
        ledger.event("filler", None, &detail);
        if ledger.flush().await.is_err() {
            return submitted;
        }
    }
    panic!("400 kB fit into {PAGES} pages");
}

async fn all_events(ledger: &Ledger) -> Vec<String> {
    let mut kinds = Vec::new();
    let mut after = 0;
    loop {
        let events = ledger.events(after, u32::MAX, None).await.unwrap();
        let Some(last) = events.last() else {
            return kinds;
        };
        after = last.id;
        kinds.extend(events.into_iter().map(|event| event.kind));
    }
}

#[tokio::test]
async fn nothing_of_a_runs_credits_is_lost_and_events_say_how_many_were() {
    let bed = Bed::new("full");
    bed.limit_pages(PAGES);
    let ledger = bed.open().await;
    ledger.credit(batch(0, 3));
    ledger.flush().await.unwrap();
    let mut submitted = fill(&ledger).await;

    let reason = ledger.status().degraded.unwrap();
    assert!(
        reason.contains(LEDGER_FILE) && reason.contains("full") && reason.contains("check"),
        "{reason}"
    );
    // Reads go on; writes that must be durable now are refused; the others wait.
    assert_credits(&ledger, 3).await;
    let mut issued = 0;
    while ledger.issue_token(token(issued)).await.is_ok() {
        issued += 1;
        assert!(issued < 1_000, "they fit into a full file");
    }
    let stored = ledger.list_tokens(0, 1_000).await.unwrap();
    assert_eq!(u64::try_from(stored.len()).unwrap(), issued);
    for sequence in 4..=50 {
        ledger.credit(batch(sequence - 1, sequence));
        if sequence % 10 == 0 {
            ledger.flush().await.unwrap_err();
        }
    }
    for _ in 0..MAX_PENDING_RECORDS + 100 {
        ledger.event("step", Some(RUN), &json!({}));
        submitted += 1;
        if submitted % 1_000 == 0 {
            ledger.flush().await.unwrap_err();
        }
    }
    ledger.flush().await.unwrap_err();
    let status = ledger.status();
    assert!(status.records_waiting >= MAX_PENDING_RECORDS);
    assert!(status.records_dropped > 0);

    bed.limit_pages(0);
    eventually("it is written again", || ledger.status().degraded.is_none()).await;
    let status = ledger.status();
    assert_eq!(
        (status.records_waiting, &status.out_of_step[..]),
        (0, &[][..])
    );
    assert_credits(&ledger, 50).await;
    let kinds = all_events(&ledger).await;
    let count = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
    assert_eq!(count("ledger-recovered"), 1);
    let stored = u64::try_from(count("filler") + count("step")).unwrap();
    assert_eq!(stored + status.records_dropped, submitted);
    assert!(bed.wanted().is_empty());
}

#[tokio::test]
async fn a_reconciliation_that_fails_is_asked_for_once_the_disk_works() {
    let bed = Bed::new("full-reconcile");
    bed.limit_pages(PAGES);
    let ledger = bed.open().await;
    fill(&ledger).await;
    let credits: Vec<(Digest, u64)> = (0..5_000).map(|number| (identity(number), 1)).collect();
    ledger.reconcile(RUN, 9, &credits).await.unwrap_err();
    assert_eq!(ledger.status().out_of_step, [RUN]);
    assert!(bed.wanted().is_empty(), "it could not be written anyway");

    bed.limit_pages(0);
    eventually("the run is asked for", || !bed.wanted().is_empty()).await;
    ledger.reconcile(RUN, 9, &credits).await.unwrap();
    assert_eq!(ledger.standing(RUN).await.unwrap(), (9, 5_000));
    assert_eq!(ledger.status().out_of_step, []);
}

#[tokio::test]
async fn what_waits_at_the_end_is_said_to_be_lost() {
    let bed = Bed::new("full-end");
    bed.limit_pages(PAGES);
    let ledger = bed.open().await;
    fill(&ledger).await;
    ledger.credit(batch(0, 3));
    let error = ledger.close().await.unwrap_err().to_string();
    assert!(
        error.contains("full") && error.contains("check the disk"),
        "{error}"
    );
    // The next start makes up for it.
    bed.limit_pages(0);
    let ledger = bed.open().await;
    ledger.reconcile(RUN, 3, &credits_at(3)).await.unwrap();
    assert_credits(&ledger, 3).await;
}
