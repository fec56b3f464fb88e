-- Klarna called about it since it was last put back: what such a read finds was announced.
ALTER TABLE job ADD COLUMN hinted BOOLEAN NOT NULL DEFAULT FALSE;
