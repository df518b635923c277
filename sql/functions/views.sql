-- What people and queries read of the prices that are live. Views that were never changed are where they were made, in
-- the migrations.

-- The uniform prices of the live book as they are now, with what they were set from.
CREATE OR REPLACE VIEW pricing.current_uniform AS
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_uniform AS repriced USING (book_id)
UNION ALL
SELECT published.*, NULL, NULL, NULL FROM pricing.live JOIN pricing.uniform_prices AS published USING (book_id)
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

-- The personal prices that are quoted: while its product has just been priced anew, a pair's is not, nor is that of a
-- user who does not consent any more.
CREATE OR REPLACE VIEW pricing.live_prices AS
SELECT personal.user_id, personal.product_id, personal.price, uniform.price AS uniform_price, uniform.list_price,
       books.currency, personal.lower, personal.upper, personal.purchase_probability, personal.elasticity,
       personal.reasons, personal.randomised, personal.propensity, personal.book_id,
       personal.repriced_at
FROM pricing.current_personal AS personal
JOIN pricing.books USING (book_id)
JOIN pricing.current_uniform AS uniform USING (book_id, product_id)
JOIN data.users ON users.dataset = books.dataset AND users.user_id = personal.user_id
WHERE coalesce(users.personalisation_consent, true) AND personal.price IS NOT NULL AND uniform.price IS NOT NULL
  AND coalesce(books.expires_at > now(), true)
  AND personal.uniform_repriced_at IS NOT DISTINCT FROM uniform.repriced_at;

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
