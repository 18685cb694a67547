//! Names on the leaderboard: by choice, one to a volunteer, and gone when they say so.

use tabswarm_model::digest::Digest;

use super::{Bed, RUN, identity};
use crate::ledger::volunteers::{Leader, Named, Naming, Standing};
use crate::ledger::{CreditBatch, Ledger};

fn volunteer(number: u64) -> Digest {
    Digest::of(&[b"key".as_slice(), &number.to_le_bytes()].concat())
}

fn naming(key: u64, of: u64, name: &str) -> Naming {
    Naming {
        volunteer: volunteer(key),
        identity: identity(of),
        name: name.to_owned(),
        at_ms: 1,
    }
}

/// A ledger in which identities 1 to 4 have 10 to 40 samples.
async fn credited(bed: &Bed) -> Ledger {
    let ledger = bed.open().await;
    ledger.credit(CreditBatch {
        run: RUN,
        after: 0,
        through: 1,
        deltas: (1..=4).map(|n| (identity(n), n * 10)).collect(),
    });
    ledger.flush().await.unwrap();
    ledger
}

fn leader(name: &str, samples: u64) -> Leader {
    Leader {
        name: name.to_owned(),
        samples,
    }
}

#[tokio::test]
async fn a_volunteer_has_one_name_over_all_their_identities() {
    let bed = Bed::new("names");
    let ledger = credited(&bed).await;
    let name = |naming| ledger.name_volunteer(naming);
    assert_eq!(name(naming(1, 1, "Ada")).await.unwrap(), Named::Yes);
    assert_eq!(name(naming(1, 2, "Ada")).await.unwrap(), Named::Yes);
    assert_eq!(name(naming(2, 4, "Grace")).await.unwrap(), Named::Yes);
    assert_eq!(name(naming(3, 3, "ADA")).await.unwrap(), Named::Taken);
    assert_eq!(name(naming(3, 9, "Emmy")).await.unwrap(), Named::NoCredit);
    let leaders = ledger.leaders(None, 10).await.unwrap();
    assert_eq!(leaders, [leader("Grace", 40), leader("Ada", 30)]);
    assert_eq!(ledger.leaders(Some(RUN), 1).await.unwrap().len(), 1);
    let other = tabswarm_protocol::RunId(RUN.0 + 1);
    assert_eq!(ledger.leaders(Some(other), 10).await.unwrap(), []);
    // A new name for the same volunteer frees the old one.
    assert_eq!(name(naming(1, 1, "Countess")).await.unwrap(), Named::Yes);
    assert_eq!(name(naming(3, 3, "ada")).await.unwrap(), Named::Yes);
    assert!(ledger.forget_volunteer(volunteer(1)).await.unwrap());
    assert!(!ledger.forget_volunteer(volunteer(1)).await.unwrap());
    let leaders = ledger.leaders(Some(RUN), 10).await.unwrap();
    assert_eq!(leaders, [leader("Grace", 40), leader("ada", 30)]);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn everybody_has_a_rank_named_or_not() {
    let bed = Bed::new("standing");
    let ledger = credited(&bed).await;
    let of = |number| ledger.standing_of(RUN, identity(number));
    let third = Standing {
        samples: 20,
        rank: 3,
        identities: 4,
    };
    assert_eq!(of(2).await.unwrap(), third);
    let stranger = of(9).await.unwrap();
    assert_eq!((stranger.samples, stranger.rank), (0, 5));
    ledger.close().await.unwrap();
}
