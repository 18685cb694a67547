-- What a token of the kind 'admin' is good for, and who may not work here.

ALTER TABLE tokens ADD COLUMN scope TEXT
    CHECK (scope IN ('metrics', 'read', 'operate', 'admin'));

CREATE TABLE bans (
    identity BLOB PRIMARY KEY CHECK (length(identity) = 32),
    -- In the operator's words; the worker is told.
    reason TEXT NOT NULL,
    banned_ms INTEGER NOT NULL,
    -- Null for ever.
    until_ms INTEGER
) STRICT, WITHOUT ROWID;
