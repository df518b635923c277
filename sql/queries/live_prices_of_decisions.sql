-- What is quoted for each pair now being decided, where the live book is of the same dataset: the personal price, where it
-- is of the newest uniform price or stands beside it (see pricing.quoted_personal), or else the uniform one, as they are
-- now; or, where a book is named, as that book has them. With the propensity of a price drawn on the day of the decision.
SELECT decision.decision_id,
       coalesce(CASE WHEN repriced.uniform_repriced_at IS NOT DISTINCT FROM repriced_uniform.repriced_at
                       OR (own.list_price, own.pool_id)
                          IS NOT DISTINCT FROM (repriced_uniform.list_price, repriced_uniform.pool_id)
                          AND own.price BETWEEN repriced_uniform.personal_lower AND repriced_uniform.personal_upper
                     THEN own.price END,
                repriced_uniform.price, uniform.price) AS price,
       coalesce(repriced_uniform.price, uniform.price) AS uniform_price,
       CASE WHEN coalesce(repriced.randomised, personal.randomised)
             AND (snapshots.as_of AT TIME ZONE 'UTC')::date = (decision.decided_at AT TIME ZONE 'UTC')::date
            THEN coalesce(repriced.propensity, personal.propensity) END AS propensity
FROM decision
JOIN pricing.books ON books.book_id = coalesce(%(book_id)s, (SELECT live.book_id FROM pricing.live))
 AND books.dataset = %(dataset)s
JOIN data.snapshots USING (snapshot_id)
JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = books.book_id AND uniform.product_id = decision.product_id
LEFT JOIN pricing.personal_prices AS personal
  ON personal.book_id = books.book_id AND personal.user_id = decision.user_id
 AND personal.product_id = decision.product_id
LEFT JOIN pricing.repriced_personal AS repriced
  ON %(book_id)s IS NULL AND repriced.book_id = books.book_id AND repriced.user_id = decision.user_id
 AND repriced.product_id = decision.product_id
LEFT JOIN pricing.repriced_uniform
  ON %(book_id)s IS NULL AND repriced_uniform.book_id = books.book_id
 AND repriced_uniform.product_id = decision.product_id
LEFT JOIN pricing.superseded_uniform AS superseded
  ON superseded.book_id = books.book_id AND superseded.product_id = decision.product_id
 AND superseded.repriced_at = repriced.uniform_repriced_at
CROSS JOIN LATERAL (
    SELECT CASE WHEN repriced.book_id IS NULL THEN personal.price ELSE repriced.price END AS price,
           CASE WHEN repriced.uniform_repriced_at IS NULL THEN uniform.list_price
                ELSE superseded.list_price END AS list_price,
           CASE WHEN repriced.uniform_repriced_at IS NULL THEN uniform.pool_id ELSE superseded.pool_id END AS pool_id
) AS own
