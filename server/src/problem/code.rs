//! Every kind of problem: its code, which programs rely on and never changes, and its title.

use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $title:literal;)+) => {
        /// What kind of problem it is. A code never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[schema(as = ProblemCode)]
        pub(crate) enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        impl Code {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// The code.
            #[cfg(test)]
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// For people: the same for every problem of this code.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// What it means, for the documentation.
            pub(crate) const MEANINGS: &[(&'static str, &'static str)] =
                &[$(($code, concat!($($doc),+))),+];
        }
    };
}

codes! {
    /// The query of the address can't be read or asks for what there is not.
    BadQuery = "bad_query", "Bad query";
    /// A part of the address can't be read.
    BadPath = "bad_path", "Bad address";
    /// The body is too long, broke off, or can't be read.
    BadBody = "bad_body", "Bad body";
    /// A digest is 64 lower-case hexadecimal digits.
    BadDigest = "bad_digest", "Bad digest";
    /// A volunteer's key is 64 lower-case hexadecimal digits.
    BadKey = "bad_key", "Bad key";
    /// The idempotency key can't be read.
    BadIdempotencyKey = "bad_idempotency_key", "Bad idempotency key";
    /// The name can't be given.
    BadName = "bad_name", "Bad name";
    /// The run file is not valid.
    BadRunFile = "bad_run_file", "Bad run file";
    /// The files of a data set can't be used for a run.
    BadDataset = "bad_dataset", "Unusable data set";
    /// The parameters that a run should begin with can't be used.
    BadParameters = "bad_parameters", "Unusable parameters";
    /// There is no valid token with the request.
    Unauthorized = "unauthorized", "Unauthorized";
    /// The token is valid, but not for this.
    WrongScope = "wrong_scope", "Wrong scope";
    /// There is nothing at this address.
    NotFound = "not_found", "Not found";
    /// The run has no such version that can be restored.
    NoSuchVersion = "no_such_version", "No such version";
    /// The address does not take this method.
    WrongMethod = "wrong_method", "Method not allowed";
    /// The run's phase does not allow it.
    WrongPhase = "wrong_phase", "Not possible now";
    /// The name is another one's.
    NameTaken = "name_taken", "Name taken";
    /// Objects of an earlier run of this name are in the bucket.
    ObjectsExist = "objects_exist", "Objects exist";
    /// The server has as many runs as it takes.
    TooManyRuns = "too_many_runs", "Too many runs";
    /// The run keeps its settings: they were changed too often, or too many batches are late.
    SettingsKept = "settings_kept", "Settings can't change now";
    /// The run does not offer its model.
    NotOffered = "not_offered", "Not offered";
    /// The address has too many connections.
    TooManyConnections = "too_many_connections", "Too many connections";
    /// There is no room for more of this kind.
    TooMany = "too_many", "Too many";
    /// It is used, or needed, and stays.
    InUse = "in_use", "In use";
    /// The body is longer than the server takes.
    TooLarge = "too_large", "Too large";
    /// Another request with this idempotency key is under way.
    InProgress = "in_progress", "In progress";
    /// The idempotency key was used for another request.
    KeyReused = "key_reused", "Idempotency key used before";
    /// The order holds, but a power cut would undo it.
    NotStored = "not_stored", "Not stored yet";
    /// There are no answers from the ledger.
    LedgerOff = "ledger_off", "Ledger off";
    /// The worker has no credit.
    NoCredit = "no_credit", "No credit";
    /// The address is for WebSockets.
    NoWebsocket = "no_websocket", "Not a WebSocket";
    /// Pages of this origin may not connect.
    ForeignOrigin = "foreign_origin", "Foreign origin";
    /// The server goes down.
    GoingDown = "going_down", "Going down";
    /// The server can't do it; its log says why.
    Internal = "internal", "Internal error";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_written_as_they_are_called() {
        let mut seen = BTreeSet::new();
        for &code in Code::ALL {
            let written = serde_json::to_value(code).unwrap();
            assert_eq!(written, code.as_str());
            assert!(seen.insert(code.as_str()), "{}", code.as_str());
        }
        assert_eq!(seen.len(), Code::MEANINGS.len());
    }
}
