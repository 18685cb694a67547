-- The ledger's first schema. Times are milliseconds since 1970, digests are 32 bytes.
-- A migration that was released is never edited: its hash is in every ledger that ran it.

CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    -- Null until the run was recorded: credits may come first.
    name TEXT,
    recorded_ms INTEGER,
    -- The credits of this run are those of its log up to this sequence. Written together with them.
    credited_sequence INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE identities (
    identity BLOB PRIMARY KEY CHECK (length(identity) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('browser', 'native')),
    software TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credits (
    run INTEGER NOT NULL,
    identity BLOB NOT NULL CHECK (length(identity) = 32),
    samples INTEGER NOT NULL,
    PRIMARY KEY (run, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX credits_by_samples ON credits (run, samples DESC, identity);
CREATE INDEX credits_by_identity ON credits (identity, run);

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- blake3 of the token. The token itself is stored nowhere.
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('admin', 'join', 'worker')),
    label TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER
) STRICT;

CREATE TABLE audits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    run INTEGER NOT NULL,
    identity BLOB NOT NULL CHECK (length(identity) = 32),
    version INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audits_by_identity ON audits (identity, id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    run INTEGER,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_run ON events (run, id);
