-- Who trained and who approved, as the database authenticated them; written by functions, never changed.
CREATE TABLE pricing.trainings (
    run_id        text PRIMARY KEY,
    model_version integer NOT NULL,
    trained_by    text NOT NULL,
    trained_at    timestamptz NOT NULL
);

-- An approval is of one book's content: other prices of the same model version need another.
CREATE TABLE pricing.approvals (
    approval_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    book_id       bigint NOT NULL REFERENCES pricing.books,
    model_version integer NOT NULL,
    content_hash  text NOT NULL,
    approved_by   text NOT NULL,
    approved_at   timestamptz NOT NULL
);

ALTER TABLE pricing.books
    DROP CONSTRAINT books_state_check,
    ADD CONSTRAINT books_state_check CHECK (state IN ('staged', 'in_review', 'published', 'dropped')),
    ADD COLUMN approval text NOT NULL DEFAULT 'automatic' CHECK (approval IN ('automatic', 'review', 'two_person')),
    ADD COLUMN review_until timestamptz,
    ADD COLUMN priced_against bigint;  -- the book that was live then: steps count from its prices

-- The hash of the newest entry, kept apart from the ledger: without it the loss of the last entries would not show.
ALTER TABLE pricing.live ADD COLUMN ledger_hash text;
UPDATE pricing.live SET ledger_hash = (SELECT hash FROM pricing.ledger ORDER BY entry_id DESC LIMIT 1);

CREATE OR REPLACE FUNCTION pricing.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pricing.% is append-only: % is refused', TG_TABLE_NAME, TG_OP;
END $$;

CREATE TRIGGER trainings_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pricing.trainings
    FOR EACH STATEMENT EXECUTE FUNCTION pricing.refuse_change();
CREATE TRIGGER approvals_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pricing.approvals
    FOR EACH STATEMENT EXECUTE FUNCTION pricing.refuse_change();

-- Also where a session claims to be a replica.
ALTER TABLE pricing.ledger ENABLE ALWAYS TRIGGER ledger_is_append_only;
ALTER TABLE pricing.trainings ENABLE ALWAYS TRIGGER trainings_are_append_only;
ALTER TABLE pricing.approvals ENABLE ALWAYS TRIGGER approvals_are_append_only;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pricing_reviewer') THEN
        CREATE ROLE pricing_reviewer NOLOGIN;
    END IF;
END $$;
