-- One set of columns on both databases; a test compares them. Time is microseconds UTC, money is
-- minor units, words are closed sets with a CHECK. Personal columns (binary) are sealed before they get
-- here. Rows are written by one room only, so foreign keys stand where they are free: between a
-- link and what is born under its lock. Events have none: they outlive what they tell of.

CREATE TABLE link (
    id TEXT PRIMARY KEY NOT NULL,
    version BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    store TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    agent TEXT,
    created_by TEXT NOT NULL,
    reference TEXT NOT NULL,
    use_case TEXT NOT NULL CHECK (use_case IN ('telesales', 'in_store', 'ecommerce')),
    country TEXT NOT NULL,
    currency TEXT NOT NULL,
    locale TEXT NOT NULL,
    order_amount BIGINT NOT NULL,
    order_tax_amount BIGINT NOT NULL,
    sale TEXT NOT NULL,
    personal BYTEA,
    page TEXT NOT NULL,
    auto_capture BOOLEAN NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('creating', 'open', 'disabling', 'completed', 'cancelled', 'disabled', 'expired', 'failed')),
    pairs_tried BIGINT,
    pair_number BIGINT,
    klarna_order TEXT,
    klarna_session TEXT,
    url TEXT,
    id_check_url TEXT,
    until_at BIGINT,
    consumer TEXT CHECK (consumer IN ('not_opened', 'in_progress', 'id_check', 'back', 'declined', 'error')),
    stage_at BIGINT,
    stage_by TEXT,
    stage_why TEXT CHECK (stage_why IN ('paid_elsewhere', 'customer_request', 'offer_expired', 'mistake', 'other', 'unsaid', 'expired', 'replaced', 'klarna')),
    failure_code TEXT CHECK (failure_code IN ('klarna_refused', 'klarna_unavailable', 'gave_up')),
    failure_detail TEXT,
    failure_klarna TEXT,
    payment_status TEXT CHECK (payment_status IN ('authorized', 'part_captured', 'captured', 'cancelled', 'expired', 'closed')),
    fraud_status TEXT,
    captured_amount BIGINT,
    refunded_amount BIGINT,
    remaining_amount BIGINT,
    payment_expires_at BIGINT,
    buyer BYTEA,
    -- store and reference while the link is live and asked to be the only one; NULL otherwise
    live_reference TEXT UNIQUE,
    wanted_end BIGINT,
    klarna_status TEXT,
    klarna_reference TEXT,
    klarna_updated_at BIGINT,
    klarna_expires_at BIGINT,
    klarna_verified_at BIGINT,
    closing_reason TEXT CHECK (closing_reason IN ('paid_elsewhere', 'customer_request', 'offer_expired', 'mistake', 'other', 'unsaid', 'expired', 'replaced', 'klarna')),
    closing_note TEXT,
    renewed_from TEXT,
    renewed_by TEXT,
    viewed BOOLEAN NOT NULL,
    mismatch BOOLEAN NOT NULL,
    acknowledged BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- each stage has its facts and no others
    CHECK ((status = 'creating') = (pairs_tried IS NOT NULL)),
    CHECK ((status = 'open') = (until_at IS NOT NULL) AND (until_at IS NULL) = (consumer IS NULL)),
    CHECK ((status IN ('creating', 'open')) = (stage_at IS NULL)),
    CHECK ((status IN ('disabling', 'disabled')) = (stage_by IS NOT NULL) AND (stage_by IS NULL) = (stage_why IS NULL)),
    CHECK ((status = 'failed') = (failure_code IS NOT NULL) AND (failure_code IS NULL) = (failure_detail IS NULL)),
    CHECK ((status = 'completed') = (payment_status IS NOT NULL)),
    CHECK (pair_number IS NOT NULL OR status NOT IN ('open', 'completed', 'cancelled')),
    CHECK (pair_number IS NULL OR status NOT IN ('creating', 'failed')),
    CHECK ((pair_number IS NULL) = (klarna_order IS NULL) AND (pair_number IS NULL) = (klarna_session IS NULL) AND (pair_number IS NULL) = (url IS NULL))
);
-- lists, newest first: all, and of one store
CREATE INDEX link_newest ON link (created_at, id);
CREATE INDEX link_of_store ON link (store, created_at, id);
-- the rare statuses; what is open or failed is looked at, what is completed is the rest
CREATE INDEX link_by_status ON link (status, created_at, id);
CREATE INDEX link_by_reference ON link (reference, created_at, id);
-- limits per creator, and the list of what one tablet made
CREATE INDEX link_by_creator ON link (created_by, created_at, id);
CREATE INDEX link_by_agent ON link (agent, created_at, id) WHERE agent IS NOT NULL;
CREATE INDEX link_by_update ON link (updated_at);

-- What stands in merchant URLs, by its hash. A row is dead 48 hours after its link's end.
CREATE TABLE token (
    hash BYTEA PRIMARY KEY NOT NULL,
    link TEXT NOT NULL REFERENCES link (id),
    pair BIGINT NOT NULL
);

CREATE TABLE delivery (
    id TEXT PRIMARY KEY NOT NULL,
    link TEXT NOT NULL REFERENCES link (id),
    channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
    recipient BYTEA NOT NULL,
    recipient_blind BYTEA NOT NULL,
    recipient_masked TEXT NOT NULL,
    template TEXT NOT NULL,
    agent TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'sending', 'sent', 'delivered', 'failed', 'unknown', 'skipped')),
    attempts BIGINT NOT NULL,
    reason_code TEXT CHECK (reason_code IN ('rejected', 'invalid_recipient', 'bounced', 'opted_out', 'gateway_auth', 'suppressed', 'expired', 'link_closed', 'unknown_outcome', 'quiet_hours')),
    reason_detail TEXT,
    sent_at BIGINT,
    next_attempt_at BIGINT,
    gateway TEXT,
    gateway_message_id TEXT,
    segments BIGINT,
    created_at BIGINT NOT NULL,
    CHECK ((reason_code IS NULL) = (reason_detail IS NULL))
);
CREATE INDEX delivery_of_link ON delivery (link, created_at, id);
-- limits per recipient
CREATE INDEX delivery_to ON delivery (recipient_blind, created_at);

-- The evidence that bytes may have left: written before the first one (failure-model R1, R3).
CREATE TABLE attempt (
    delivery TEXT NOT NULL REFERENCES delivery (id),
    -- the number of the claim under which it was made
    claim BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    finished_at BIGINT,
    outcome TEXT,
    detail TEXT,
    PRIMARY KEY (delivery, claim),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);

CREATE TABLE event (
    n BIGSERIAL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    -- the place in the stream of everything; on PostgreSQL stamped by the relay after the commit
    position BIGINT UNIQUE,
    kind TEXT NOT NULL,
    store TEXT,
    link TEXT,
    sequence BIGINT,
    delivery TEXT,
    created_by TEXT,
    created_at BIGINT NOT NULL,
    json TEXT NOT NULL,
    UNIQUE (link, sequence)
);
-- what the relay has still to stamp
CREATE INDEX event_unstamped ON event (n) WHERE position IS NULL;

CREATE TABLE event_head (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    position BIGINT NOT NULL
);
INSERT INTO event_head (id, position) VALUES (1, 0);

CREATE TABLE job (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('open', 'deliver', 'disable', 'abort', 'watch', 'settle', 'expire')),
    subject TEXT NOT NULL,
    link TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    -- when anyone may claim it: due_at, or the lease's end; NULL while leased without end, or parked
    ready_at BIGINT,
    -- asked for again while it was leased
    again_at BIGINT,
    owner TEXT,
    lease_until BIGINT,
    attempt BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    parked BOOLEAN NOT NULL,
    CHECK (NOT parked OR (owner IS NULL AND ready_at IS NULL))
);
CREATE INDEX job_ready ON job (ready_at) WHERE ready_at IS NOT NULL;
-- the heartbeat renews all of one process; its start frees what a dead one held
CREATE INDEX job_leased ON job (owner) WHERE owner IS NOT NULL;

CREATE TABLE idempotency (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    link TEXT,
    answer TEXT,
    resource TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_age ON idempotency (at);

CREATE TABLE api_key (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('agent', 'supervisor', 'integrator', 'tablet', 'auditor', 'admin')),
    store TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    hash BYTEA NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL
);

-- One row per kind and hour: the first is told, the others are counted.
CREATE TABLE alert (
    kind TEXT NOT NULL,
    hour BIGINT NOT NULL,
    detail TEXT NOT NULL,
    link TEXT,
    at BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (kind, hour)
);

-- Append-only; each row's hash covers the one before.
CREATE TABLE audit (
    n BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BYTEA NOT NULL
);
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    n BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO audit_head (id, n, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));
CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses();

-- The blind index: keyed hashes of what people search by, newest first within each.
CREATE TABLE lookup (
    hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    link TEXT NOT NULL REFERENCES link (id),
    kind TEXT NOT NULL CHECK (kind IN ('reference', 'email', 'phone', 'name', 'klarna')),
    PRIMARY KEY (hash, created_at, link)
);
