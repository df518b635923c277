-- What people and queries read of the prices that are live. Views that were never changed are where they were made, in
-- the migrations.

-- The uniform prices of the live book as they are now, with what they were set from.
CREATE OR REPLACE VIEW pricing.current_uniform AS
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_uniform AS repriced USING (book_id)
UNION ALL
SELECT published.*, NULL, NULL, NULL, NULL, NULL FROM pricing.live JOIN pricing.uniform_prices AS published USING (book_id)
WHERE NOT EXISTS (SELECT FROM pricing.repriced_uniform AS repriced
                  WHERE repriced.book_id = published.book_id AND repriced.product_id = published.product_id);

-- The personal prices of the live book as they are now.
CREATE OR REPLACE VIEW pricing.current_personal AS
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_personal AS repriced USING (book_id)
UNION ALL
SELECT published.*, NULL, NULL, NULL FROM pricing.live JOIN pricing.personal_prices AS published USING (book_id)
WHERE NOT EXISTS (SELECT FROM pricing.repriced_personal AS repriced
                  WHERE repriced.book_id = published.book_id AND repriced.user_id = published.user_id
                    AND repriced.product_id = published.product_id);

-- Every uniform price that the live book has had, the book's own first: what personal prices were set beside.
CREATE OR REPLACE VIEW pricing.uniform_versions AS
SELECT published.*, NULL::timestamptz AS decided_at, NULL::timestamptz AS repriced_at, NULL::double precision AS bid_price,
       NULL::numeric AS personal_lower, NULL::numeric AS personal_upper
FROM pricing.live JOIN pricing.uniform_prices AS published USING (book_id)
UNION ALL
SELECT superseded.* FROM pricing.live JOIN pricing.superseded_uniform AS superseded USING (book_id)
UNION ALL
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_uniform AS repriced USING (book_id);

-- The personal prices that a user who consents is quoted, with what their product's were set from beside them. Where that
-- has been priced anew since, a personal price stands while list price and pool are the same and it keeps today's limits.
CREATE OR REPLACE VIEW pricing.quoted_personal AS
SELECT beside.price AS uniform_price, beside.list_price, beside.unit_cost, beside.floor, beside.ceiling, beside.pool_id,
       beside.bid_price, beside.sensitivity AS uniform_sensitivity, beside.valuation AS uniform_valuation,
       beside.live_price AS live_uniform_price, personal.*
FROM pricing.current_personal AS personal
JOIN pricing.current_uniform AS newest USING (book_id, product_id)
JOIN pricing.uniform_versions AS beside
  ON beside.book_id = personal.book_id AND beside.product_id = personal.product_id
 AND coalesce(beside.repriced_at, '-infinity') = coalesce(personal.uniform_repriced_at, '-infinity')  -- which can be hashed
WHERE personal.price IS NOT NULL AND newest.price IS NOT NULL
  AND (beside.repriced_at IS NOT DISTINCT FROM newest.repriced_at
       OR (beside.list_price, beside.pool_id) IS NOT DISTINCT FROM (newest.list_price, newest.pool_id)
          AND personal.price BETWEEN newest.personal_lower AND newest.personal_upper);

-- The personal prices that are quoted: while the live book has not expired, to users who consent.
CREATE OR REPLACE VIEW pricing.live_prices AS
SELECT personal.user_id, personal.product_id, personal.price, personal.uniform_price, personal.list_price,
       books.currency, personal.lower, personal.upper, personal.purchase_probability, personal.elasticity,
       personal.reasons, personal.randomised, personal.propensity, personal.book_id,
       personal.repriced_at
FROM pricing.quoted_personal AS personal
JOIN pricing.books USING (book_id)
JOIN data.users ON users.dataset = books.dataset AND users.user_id = personal.user_id
WHERE coalesce(users.personalisation_consent, true) AND coalesce(books.expires_at > now(), true);

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
