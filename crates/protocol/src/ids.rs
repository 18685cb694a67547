//! Identifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A worker, over all of its connections.
    WorkerId,
    u64,
    "w"
);
id!(
    /// A lease, unique within a server's data directory while it runs.
    LeaseId,
    u64,
    "l"
);
id!(
    /// A run on this connection's server.
    RunId,
    u32,
    "r"
);
id!(
    /// Number of steps committed so far.
    ParamVersion,
    u64,
    "v"
);

/// A secret of 256 bits. It never appears in logs: its `Debug` form is blank.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub [u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
