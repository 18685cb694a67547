-- Who chose to be named on the leaderboard. A volunteer is known by the blake3 of a key that only their browser has.

CREATE TABLE volunteers (
    volunteer BLOB PRIMARY KEY CHECK (length(volunteer) = 32),
    name TEXT NOT NULL,
    -- The name in lower case: nobody can pass for somebody else by writing it differently.
    folded TEXT NOT NULL UNIQUE,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    identity BLOB PRIMARY KEY CHECK (length(identity) = 32),
    volunteer BLOB NOT NULL REFERENCES volunteers (volunteer) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_by_volunteer ON memberships (volunteer);
