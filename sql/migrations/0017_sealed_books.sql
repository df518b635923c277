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

-- Every price that is quoted leads to its data, those set between two books with the moment that they were set for.
CREATE OR REPLACE VIEW pricing.price_lineage AS
SELECT prices.user_id, prices.product_id, prices.price, prices.book_id, books.model_name, books.model_version,
       books.run_id, books.snapshot_id, snapshots.dataset, snapshots.row_counts AS snapshot_rows,
       snapshots.validation AS data_validation, books.policy,
       books.certificate, books.approver, books.published_at, prices.decided_at AS repriced_as_of
FROM pricing.books
JOIN data.snapshots USING (snapshot_id)
JOIN (
    SELECT user_id, product_id, price, book_id, decided_at FROM pricing.current_personal
    UNION ALL
    SELECT NULL, product_id, price, book_id, decided_at FROM pricing.current_uniform
) AS prices USING (book_id)
WHERE prices.price IS NOT NULL;

-- A price between two books belongs to the uniform price that its product had then: when that was set, null where it was
-- the book's own.
ALTER TABLE pricing.repriced_personal ADD COLUMN uniform_repriced_at timestamptz;
-- What was priced between books before is priced once more, for it does not say yet what it belongs to.
INSERT INTO pricing.reprice_queue (product_id)
SELECT product_id FROM pricing.repriced_uniform JOIN pricing.live USING (book_id);

CREATE OR REPLACE VIEW pricing.current_personal AS
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_personal AS repriced USING (book_id)
UNION ALL
SELECT published.*, NULL, NULL, NULL FROM pricing.live JOIN pricing.personal_prices AS published USING (book_id)
WHERE NOT EXISTS (SELECT FROM pricing.repriced_personal AS repriced
                  WHERE repriced.book_id = published.book_id AND repriced.user_id = published.user_id
                    AND repriced.product_id = published.product_id);

CREATE OR REPLACE VIEW pricing.live_prices AS
SELECT personal.user_id, personal.product_id, personal.price, uniform.price AS uniform_price, uniform.list_price,
       books.currency, personal.lower, personal.upper, personal.purchase_probability, personal.elasticity,
       personal.reasons, personal.randomised, personal.propensity, personal.book_id,
       personal.repriced_at
FROM pricing.current_personal AS personal
JOIN pricing.books USING (book_id)
JOIN pricing.current_uniform AS uniform USING (book_id, product_id)
WHERE personal.price IS NOT NULL AND uniform.price IS NOT NULL
  AND coalesce(books.expires_at > now(), true)
  AND personal.uniform_repriced_at IS NOT DISTINCT FROM uniform.repriced_at;
