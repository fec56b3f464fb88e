-- How captured goods went to the buyer: a JSON list in Klarna's names.
ALTER TABLE operation ADD COLUMN shipments TEXT NOT NULL DEFAULT '[]';
