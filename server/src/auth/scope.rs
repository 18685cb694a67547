//! What a token is good for on the admin listener. The only place that says so.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What its bearer may do. Each scope includes those before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Read counters and health: for what watches the server.
    Metrics,
    /// Read everything but tokens: runs, workers, credits, events, models and data sets.
    Read,
    /// Change runs, workers, snapshots and data sets.
    Operate,
    /// Issue and revoke tokens, too.
    Admin,
}

impl Scope {
    /// From the least to the most.
    pub(crate) const ALL: [Self; 4] = [Self::Metrics, Self::Read, Self::Operate, Self::Admin];

    /// Its name everywhere.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The scope of a name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// Whether it is enough where another one is needed.
    pub(crate) fn includes(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_include_those_before_them_and_keep_their_names() {
        for (idx, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            for (other_idx, other) in Scope::ALL.into_iter().enumerate() {
                assert_eq!(scope.includes(other), idx >= other_idx);
            }
        }
        assert_eq!(Scope::from_name("root"), None);
    }
}
