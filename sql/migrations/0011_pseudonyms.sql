-- The two keys under which user ids are hashed, where they are stored as pseudonyms; no row: ids are stored as they come.
CREATE TABLE pricing.pseudonym_key (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    inner_key  bytea NOT NULL,
    outer_key  bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
