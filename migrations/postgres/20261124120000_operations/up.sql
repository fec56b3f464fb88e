-- What the seller does with the money of a paid link. Committed before Klarna is asked; what was
-- booked elsewhere is written down when it is read.
CREATE TABLE operation (
    id TEXT PRIMARY KEY NOT NULL,
    link TEXT NOT NULL REFERENCES link (id),
    kind TEXT NOT NULL CHECK (kind IN ('capture', 'refund', 'cancel', 'release', 'extend')),
    amount BIGINT,
    reference TEXT,
    lines TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    klarna_id TEXT,
    outcome_at BIGINT,
    failure_code TEXT CHECK (failure_code IN ('klarna_refused', 'klarna_unavailable', 'gave_up')),
    failure_detail TEXT,
    failure_klarna TEXT,
    -- since when an answer may have been lost: Klarna forgets our key 24 h after it
    asked_at BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CHECK ((kind IN ('capture', 'refund')) = (amount IS NOT NULL)),
    CHECK ((status = 'pending') = (outcome_at IS NULL)),
    CHECK ((status = 'failed') = (failure_code IS NOT NULL) AND (failure_code IS NULL) = (failure_detail IS NULL))
);
CREATE INDEX operation_of_link ON operation (link, created_at, id);
-- a day's completed links, for reconciliation
CREATE INDEX link_completed ON link (stage_at, id) WHERE payment_status IS NOT NULL;

ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('open', 'deliver', 'disable', 'abort', 'watch', 'settle', 'expire', 'operate', 'remind'));
