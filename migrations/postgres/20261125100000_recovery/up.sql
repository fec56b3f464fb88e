-- A copy of the ledger knows that it is one. While the row is there no job is claimed: what happened
-- after the copy was made is found out first.
CREATE TABLE recovery (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    -- what was asked for up to here is the copy's; what came later is of our own time
    marked_at BIGINT NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('deliveries', 'creating', 'open', 'disabling', 'completed')),
    -- the last link of the step that was read
    cursor_at BIGINT,
    cursor_id TEXT,
    -- since when Klarna has answered nothing
    silent_since BIGINT,
    -- of replicas one does it
    owner TEXT,
    lease_until BIGINT,
    CHECK ((cursor_at IS NULL) = (cursor_id IS NULL))
);

-- Differences from Klarna that reconciliations found, counted for ever: a command has no metrics of its
-- own, so the serving processes show these.
CREATE TABLE drift (
    what TEXT PRIMARY KEY NOT NULL,
    count BIGINT NOT NULL
);

-- links that wait for their pages, oldest first (on SQLite the key itself is in this order)
CREATE INDEX job_open ON job (id) WHERE kind = 'open';

-- what a person has to look at; it is counted at each scrape
CREATE INDEX job_parked ON job (id) WHERE parked;
