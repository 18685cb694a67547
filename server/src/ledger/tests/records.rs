//! Events, audits, identities, tokens.

use serde_json::json;
use sqlx::Connection as _;
use tabswarm_protocol::ParamVersion;

use super::super::limits::MAX_DETAIL_BYTES;
use super::super::open::connect;
use super::super::{Audit, Ban, IdentityKind, NewToken, Sighting, TokenKind};
use super::*;

#[tokio::test]
async fn events_come_back_in_order_by_run_and_page_by_page() {
    let bed = Bed::new("events");
    let ledger = bed.open().await;
    for number in 0..10_u32 {
        let run = (number % 2 == 0).then_some(RUN);
        ledger.event("number", run, &json!({ "number": number }));
    }
    let long = json!("x".repeat(MAX_DETAIL_BYTES));
    ledger.event("long", None, &long);
    ledger.flush().await.unwrap();

    let all = ledger.events(0, 100, None).await.unwrap();
    assert_eq!(all.len(), 11);
    assert!(all.is_sorted_by_key(|event| event.id));
    assert!(all[0].at_ms > 1_600_000_000_000);
    assert_eq!(all[3].detail, json!({ "number": 3 }));
    assert_eq!(
        all[10].detail,
        json!({ "left_out_bytes": MAX_DETAIL_BYTES + 2 })
    );
    assert_eq!(ledger.events(0, 4, None).await.unwrap(), all[..4]);
    assert_eq!(ledger.events(all[3].id, 4, None).await.unwrap(), all[4..8]);
    let of_run = ledger.events(all[3].id, 100, Some(RUN)).await.unwrap();
    let numbers: Vec<_> = of_run.iter().map(|event| &event.detail["number"]).collect();
    assert_eq!(numbers, [4, 6, 8]);
    assert!(ledger.events(u64::MAX, 4, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn identities_are_all_that_were_seen_credited_or_banned() {
    let bed = Bed::new("identities");
    let ledger = bed.open().await;
    for at_ms in [7, 9] {
        let sighting = Sighting {
            kind: IdentityKind::Native,
            software: "tabswarm-worker 1".to_owned(),
            at_ms,
        };
        ledger.note_identity(identity(3), &sighting);
        ledger.flush().await.unwrap();
    }
    let ban = Ban {
        identity: identity(2),
        reason: "spam".to_owned(),
        banned_ms: 5,
        until_ms: None,
    };
    ledger.ban(ban.clone()).await.unwrap();
    for (run, samples) in [(RUN, 6), (RunId(RUN.0 + 1), 4)] {
        ledger.credit(CreditBatch {
            run,
            after: 0,
            through: 1,
            deltas: vec![(identity(1), samples), (identity(3), 2)],
        });
    }
    ledger.flush().await.unwrap();
    let all = ledger.identities(None, 100).await.unwrap();
    let mut expected = [1, 2, 3].map(identity);
    expected.sort_unstable();
    let found: Vec<_> = all.iter().map(|known| known.identity).collect();
    assert_eq!(found, expected);
    let of = |n| {
        all.iter()
            .find(|known| known.identity == identity(n))
            .unwrap()
    };
    assert_eq!((of(1).samples, &of(1).seen, &of(1).ban), (10, &None, &None));
    assert_eq!((of(2).samples, &of(2).ban), (0, &Some(ban)));
    let seen = of(3).seen.clone().unwrap();
    assert_eq!((of(3).samples, seen.first_ms, seen.last_ms), (4, 7, 9));
    assert_eq!(
        (&*seen.kind, &*seen.software),
        ("native", "tabswarm-worker 1")
    );
    // Page by page the same ones.
    assert_eq!(ledger.identities(None, 2).await.unwrap(), all[..2]);
    let behind = Some(all[1].identity);
    assert_eq!(ledger.identities(behind, 2).await.unwrap(), all[2..]);
}

#[tokio::test]
async fn audits_come_back_by_identity() {
    let bed = Bed::new("audits");
    let ledger = bed.open().await;
    let audit = |number, outcome: &str| Audit {
        run: RUN,
        identity: identity(number),
        version: ParamVersion(number),
        outcome: outcome.to_owned(),
        detail: json!({ "lease": number }),
    };
    ledger.audit(audit(1, "equal"));
    ledger.audit(audit(2, "different"));
    ledger.audit(audit(1, "different"));
    ledger.flush().await.unwrap();
    let found = ledger.audits(identity(1), 0, 10).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].audit, audit(1, "equal"));
    let later = ledger.audits(identity(1), found[0].id, 10).await.unwrap();
    assert_eq!(later[0].audit, audit(1, "different"));
}

#[tokio::test]
async fn sightings_and_runs_keep_their_first_time() {
    let bed = Bed::new("sightings");
    let ledger = bed.open().await;
    for (at_ms, software) in [(5, "tab/1"), (9, "tab/2"), (7, "tab/3")] {
        let sighting = Sighting {
            kind: IdentityKind::Browser,
            software: software.to_owned(),
            at_ms,
        };
        ledger.note_identity(identity(1), &sighting);
        ledger.record_run(RUN, software);
        ledger.flush().await.unwrap();
    }
    ledger.credit(batch(0, 1));
    ledger.close().await.unwrap();

    let mut connection = connect(&bed.path(), false, None).await.unwrap();
    let sql = "SELECT kind, software, first_seen_ms, last_seen_ms FROM identities";
    let seen: (String, String, i64, i64) = sqlx::query_as(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(seen, ("browser".to_owned(), "tab/3".to_owned(), 5, 9));
    let sql = "SELECT run, name, credited_sequence FROM runs";
    let run: (u32, String, i64) = sqlx::query_as(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(run, (RUN.0, "tab/3".to_owned(), 1));
    connection.close().await.unwrap();
}

#[tokio::test]
async fn tokens_are_valid_until_they_expire_or_are_revoked() {
    let bed = Bed::new("tokens");
    let ledger = bed.open().await;
    let token = |secret: &[u8], expires_ms| NewToken {
        hash: Digest::of(secret),
        kind: TokenKind::Join,
        label: "a class".to_owned(),
        created_ms: 1_000,
        expires_ms,
    };
    let first = ledger.issue_token(token(b"first", None)).await.unwrap();
    let second = ledger
        .issue_token(token(b"second", Some(2_000)))
        .await
        .unwrap();
    let twice = ledger.issue_token(token(b"first", None)).await;
    assert!(matches!(twice, Err(LedgerError::TokenExists)));
    assert_eq!(
        ledger.status().degraded,
        None,
        "a mistake is no failing disk"
    );
    assert_eq!(
        ledger.lookup_token(Digest::of(b"third")).await.unwrap(),
        None
    );

    let found = ledger
        .lookup_token(Digest::of(b"second"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.id, found.kind), (second, TokenKind::Join));
    assert_eq!(found.label, "a class");
    assert!(found.is_valid(1_999) && !found.is_valid(2_000));

    assert!(ledger.revoke_token(first).await.unwrap());
    assert!(!ledger.revoke_token(first + 100).await.unwrap());
    ledger.close().await.unwrap();
    let ledger = bed.open().await;
    let found = ledger
        .lookup_token(Digest::of(b"first"))
        .await
        .unwrap()
        .unwrap();
    assert!(!found.is_valid(1_000));
    let revoked = found.revoked_ms;
    assert!(ledger.revoke_token(first).await.unwrap());
    let all = ledger.list_tokens(0, 1_000).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].revoked_ms, revoked, "the first time stays");
    assert_eq!(ledger.list_tokens(first, 1_000).await.unwrap(), all[1..]);
    ledger.close().await.unwrap();

    let file = std::fs::read(bed.path()).unwrap();
    assert!(
        !file.windows(6).any(|bytes| bytes == b"second"),
        "only hashes"
    );
}

#[tokio::test]
async fn bans_hold_until_they_are_over_or_lifted() {
    let bed = Bed::new("bans");
    let ledger = bed.open().await;
    let ban = |n: u8, until_ms| Ban {
        identity: Digest([n; 32]),
        reason: "wrong gradients".to_owned(),
        banned_ms: 1_000,
        until_ms,
    };
    ledger.ban(ban(2, None)).await.unwrap();
    ledger.ban(ban(1, Some(3_000))).await.unwrap();
    // The later one counts.
    ledger.ban(ban(2, Some(2_000))).await.unwrap();
    ledger.close().await.unwrap();

    let ledger = bed.open().await;
    let all = ledger.list_bans(None, 1_000).await.unwrap();
    assert_eq!(all, [ban(1, Some(3_000)), ban(2, Some(2_000))]);
    assert_eq!(
        ledger.list_bans(Some(Digest([1; 32])), 1).await.unwrap(),
        all[1..]
    );
    assert!(all[1].holds(1_999) && !all[1].holds(2_000) && ban(3, None).holds(u64::MAX));
    assert!(ledger.unban(Digest([1; 32])).await.unwrap());
    assert!(!ledger.unban(Digest([1; 32])).await.unwrap());
    // What is over makes room for the next.
    let later = Ban {
        banned_ms: 2_000,
        ..ban(3, None)
    };
    ledger.ban(later.clone()).await.unwrap();
    assert_eq!(ledger.list_bans(None, 1_000).await.unwrap(), [later]);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_ledger_refuses() {
    let bed = Bed::new("closed");
    let ledger = bed.open().await;
    ledger.close().await.unwrap();
    assert!(matches!(ledger.flush().await, Err(LedgerError::Busy)));
    ledger.event("late", None, &json!({}));
    assert_eq!(ledger.status().records_dropped, 1);
}
