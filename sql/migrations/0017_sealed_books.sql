-- What is asked for at least before a book goes live, whatever its deployment asks for: the owner's to say.
CREATE TABLE pricing.required_approval (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    approval  text NOT NULL CHECK (approval IN ('automatic', 'review', 'two_person')),
    set_by    text NOT NULL DEFAULT session_user,
    set_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO pricing.required_approval (approval) VALUES ('automatic');

DROP FUNCTION IF EXISTS pricing.approve(integer);  -- it takes the book as well, where several of a version wait
DROP FUNCTION IF EXISTS pricing.drop_prices(bigint);  -- it may be told to spare what has been approved

-- What was recorded since a book's data is asked for whenever a book goes live.
CREATE INDEX events_by_time ON pricing.events USING brin (recorded_at);

-- A price between two books belongs to the uniform price that its product had then: when that was set, null where it was
-- the book's own.
ALTER TABLE pricing.repriced_personal ADD COLUMN uniform_repriced_at timestamptz;

-- What was priced between books before is priced once more, for it does not say yet what it belongs to.
INSERT INTO pricing.reprice_queue (product_id)
SELECT product_id FROM pricing.repriced_uniform JOIN pricing.live USING (book_id);
