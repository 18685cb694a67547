//! The named invariants, checked in tests and simulation and counted in production.

use std::fmt;

/// What must always hold; `ARCHITECTURE.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InvariantId {
    /// A micro-batch is counted exactly once in a committed step.
    LeaseOnce,
    /// Whatever was credited survives a crash.
    AckDurable,
    /// Versions grow by one per commit.
    VersionPlusOne,
    /// No value that is infinite or not a number reaches parameters or files.
    Finite,
    /// An update's base version is within the run's bound.
    StaleBound,
    /// Credited samples are samples of committed steps.
    CreditVerified,
    /// In a reproducible run the digest of a version follows from the run file.
    Elastic,
    /// Every queue and lease has a limit.
    Bounded,
}

impl InvariantId {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::LeaseOnce,
        Self::AckDurable,
        Self::VersionPlusOne,
        Self::Finite,
        Self::StaleBound,
        Self::CreditVerified,
        Self::Elastic,
        Self::Bounded,
    ];

    /// The id as written in docs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaseOnce => "LEASE-ONCE",
            Self::AckDurable => "ACK-DURABLE",
            Self::VersionPlusOne => "VERSION-PLUS-ONE",
            Self::Finite => "FINITE",
            Self::StaleBound => "STALE-BOUND",
            Self::CreditVerified => "CREDIT-VERIFIED",
            Self::Elastic => "ELASTIC",
            Self::Bounded => "BOUNDED",
        }
    }
}

impl fmt::Display for InvariantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
