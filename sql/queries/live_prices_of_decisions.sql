-- What is quoted for each pair now being decided, where the live book is of the same dataset: the personal price, where it
-- is of the newest uniform price or stands beside it (see pricing.quoted_personal), or else the uniform one, as they are
-- now; or, where a book is named, as that book has them. With the propensity of a price drawn on the day of the decision.
-- Where the list price is quoted, since the uniform one is withdrawn or the book has expired, nothing is live, as before a
-- product's first price: steps count from no price that nobody is shown.
SELECT decision.decision_id, coalesce(own.price, now_uniform.price) AS price, now_uniform.price AS uniform_price,
       CASE WHEN own.randomised
             AND (snapshots.as_of AT TIME ZONE 'UTC')::date = (decision.decided_at AT TIME ZONE 'UTC')::date
            THEN own.propensity END AS propensity
FROM decision
JOIN pricing.books ON books.book_id = coalesce(%(book_id)s, (SELECT live.book_id FROM pricing.live))
 AND books.dataset = %(dataset)s AND (%(book_id)s IS NOT NULL OR coalesce(books.expires_at > now(), true))
JOIN data.snapshots USING (snapshot_id)
JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = books.book_id AND uniform.product_id = decision.product_id
LEFT JOIN pricing.repriced_uniform
  ON %(book_id)s IS NULL AND repriced_uniform.book_id = books.book_id
 AND repriced_uniform.product_id = decision.product_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN repriced_uniform.book_id IS NULL THEN uniform.price ELSE repriced_uniform.price END AS price
) AS now_uniform
LEFT JOIN pricing.personal_prices AS personal
  ON personal.book_id = books.book_id AND personal.user_id = decision.user_id
 AND personal.product_id = decision.product_id
LEFT JOIN pricing.repriced_personal AS repriced
  ON %(book_id)s IS NULL AND repriced.book_id = books.book_id AND repriced.user_id = decision.user_id
 AND repriced.product_id = decision.product_id
LEFT JOIN pricing.superseded_uniform AS superseded
  ON superseded.book_id = books.book_id AND superseded.product_id = decision.product_id
 AND superseded.repriced_at = repriced.uniform_repriced_at
CROSS JOIN LATERAL (
    SELECT CASE WHEN repriced.uniform_repriced_at IS NULL THEN uniform.list_price ELSE superseded.list_price END,
           CASE WHEN repriced.uniform_repriced_at IS NULL THEN uniform.pool_id ELSE superseded.pool_id END
) AS beside (list_price, pool_id)
LEFT JOIN LATERAL (
    SELECT repriced.price, repriced.randomised, repriced.propensity
    WHERE repriced.book_id IS NOT NULL
    UNION ALL
    SELECT personal.price, personal.randomised, personal.propensity
    WHERE repriced.book_id IS NULL
) AS own ON own.price IS NOT NULL AND now_uniform.price IS NOT NULL  -- else it is not quoted
        AND (repriced.uniform_repriced_at IS NOT DISTINCT FROM repriced_uniform.repriced_at
             OR (beside.list_price, beside.pool_id)
                IS NOT DISTINCT FROM (repriced_uniform.list_price, repriced_uniform.pool_id)
                AND own.price BETWEEN repriced_uniform.personal_lower AND repriced_uniform.personal_upper)
