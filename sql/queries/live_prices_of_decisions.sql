-- What the live book, or the book named, quotes for each pair now being decided, where it is of the same dataset:
-- the personal price, or else the uniform one; and the propensity of a price drawn on the day of the decision.
SELECT decision.decision_id, coalesce(personal.price, uniform.price) AS price, uniform.price AS uniform_price,
       CASE WHEN personal.randomised
             AND (snapshots.as_of AT TIME ZONE 'UTC')::date = (decision.decided_at AT TIME ZONE 'UTC')::date
            THEN personal.propensity END AS propensity
FROM decision
JOIN pricing.books ON books.book_id = coalesce(%(book_id)s, (SELECT live.book_id FROM pricing.live))
 AND books.dataset = %(dataset)s
JOIN data.snapshots USING (snapshot_id)
JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = books.book_id AND uniform.product_id = decision.product_id
LEFT JOIN pricing.personal_prices AS personal
  ON personal.book_id = books.book_id AND personal.user_id = decision.user_id
 AND personal.product_id = decision.product_id
