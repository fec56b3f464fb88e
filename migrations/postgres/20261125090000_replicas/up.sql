-- A kind's backlog must not be read through by those who look for another kind.
DROP INDEX job_ready;
CREATE INDEX job_ready ON job (kind, ready_at) WHERE ready_at IS NOT NULL;

-- What stands before Klarna, shared by all processes of one database (PostgreSQL).
CREATE TABLE gate (
    name TEXT PRIMARY KEY NOT NULL,
    -- a bucket: the time up to which its tokens are spent
    spent_at BIGINT NOT NULL,
    -- a breaker: how often it opened or closed, and while it is open, until when and for how long
    turn BIGINT NOT NULL,
    open_until BIGINT,
    wait BIGINT,
    CHECK ((open_until IS NULL) = (wait IS NULL))
);
