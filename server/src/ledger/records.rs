//! What goes into the ledger and comes out of it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{ParamVersion, RunId};

use super::limits::{MAX_DETAIL_BYTES, MAX_TEXT_BYTES};

/// Credits of a piece of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreditBatch {
    /// Of which run.
    pub(crate) run: RunId,
    /// Sequence of the last entry before the piece: the ledger must have credited up to exactly here.
    pub(crate) after: u64,
    /// Sequence of the piece's last entry.
    pub(crate) through: u64,
    /// Samples by identity, in any order.
    pub(crate) deltas: Vec<(Digest, u64)>,
}

/// What a reconciliation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// The ledger's credits were those of the log up to this sequence.
    pub(crate) sequence_before: u64,
    /// Rows that were added, changed or removed.
    pub(crate) rows_corrected: u64,
}

/// What a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdentityKind {
    /// A tab.
    Browser,
    /// A worker without a browser.
    Native,
}

impl IdentityKind {
    /// As it is stored.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Native => "native",
        }
    }
}

/// A worker's identity was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// What it is.
    pub(crate) kind: IdentityKind,
    /// Its name and version of itself.
    pub(crate) software: String,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// What an identity was credited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credit {
    /// Whom.
    pub(crate) identity: Digest,
    /// Samples.
    pub(crate) samples: u64,
    /// What it is, if it was seen since the ledger was made.
    pub(crate) kind: Option<String>,
    /// Its name and version of itself, likewise.
    pub(crate) software: Option<String>,
    /// In milliseconds since 1970, likewise.
    pub(crate) last_seen_ms: Option<u64>,
}

/// Who was credited most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaderboard {
    /// The log sequence up to which they are the run's credits; none for all runs together.
    pub(crate) sequence: Option<u64>,
    /// Samples of all identities, also of those that are not in the list.
    pub(crate) samples: u64,
    /// Most samples first.
    pub(crate) credits: Vec<Credit>,
}

/// A place on a leaderboard, behind which others stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Samples of who stands there.
    pub(crate) samples: u64,
    /// Who; those with as many samples stand in the order of their identities.
    pub(crate) identity: Digest,
}

/// Something that happened, as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredEvent {
    /// Grows from event to event.
    pub(crate) id: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What, as a constant name.
    pub(crate) kind: String,
    /// Of which run, if of one.
    pub(crate) run: Option<RunId>,
    /// More about it.
    pub(crate) detail: Value,
}

/// A worker's answer was computed again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Audit {
    /// Of which run.
    pub(crate) run: RunId,
    /// Whose answer.
    pub(crate) identity: Digest,
    /// To a lease on which version.
    pub(crate) version: ParamVersion,
    /// What it came to, as a constant name.
    pub(crate) outcome: String,
    /// More about it.
    pub(crate) detail: Value,
}

/// An audit as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredAudit {
    /// Grows from audit to audit.
    pub(crate) id: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What.
    pub(crate) audit: Audit,
}

/// Milliseconds since 1970, by the system's clock.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A text that a peer may have chosen, cut to what the ledger stores.
pub(super) fn bounded_text(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

/// The JSON of a detail, or its length where it is too long.
pub(super) fn bounded_detail(detail: &Value) -> String {
    let text = detail.to_string();
    if text.len() <= MAX_DETAIL_BYTES {
        text
    } else {
        json!({ "left_out_bytes": text.len() }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut() {
        let text = "é".repeat(MAX_TEXT_BYTES);
        assert_eq!(bounded_text(&text).len(), MAX_TEXT_BYTES);
        assert_eq!(
            bounded_text(&format!("a{text}")).len(),
            MAX_TEXT_BYTES - 1,
            "not in the middle of a character"
        );
        assert_eq!(bounded_detail(&json!({"a": 1})), r#"{"a":1}"#);
        let long = Value::from("x".repeat(MAX_DETAIL_BYTES));
        assert_eq!(bounded_detail(&long), r#"{"left_out_bytes":8194}"#);
    }
}
