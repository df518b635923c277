-- The pairs that claimed users and pairs stand for, each as of the newest that is known of user and market: what a
-- consenting user is quoted a personal price for, and what they have met since, where offers were ever logged of it. Each
-- sells from the pool that its product is priced by now.
-- The transaction may have begun before an event that it has claimed, so its own time does not count.
WITH claimed AS (
    SELECT asked.user_id, asked.product_id
    FROM unnest(%(users)s::text[], %(products)s::text[]) AS asked (user_id, product_id)
    JOIN data.users ON users.dataset = %(dataset)s AND users.user_id = asked.user_id
    WHERE coalesce(users.personalisation_consent, true)
),
pair AS (
    SELECT user_id, prices.product_id
    FROM claimed
    JOIN pricing.personal_prices AS prices USING (user_id)
    WHERE prices.book_id = %(book_id)s AND coalesce(claimed.product_id = prices.product_id, true)
    UNION
    SELECT user_id, prices.product_id
    FROM claimed
    JOIN pricing.repriced_personal AS prices USING (user_id)
    WHERE prices.book_id = %(book_id)s AND coalesce(claimed.product_id = prices.product_id, true)
    UNION
    SELECT user_id, events.product_id
    FROM claimed
    JOIN pricing.events USING (user_id)
    WHERE claimed.product_id IS NULL AND events.dataset = %(dataset)s AND NOT events.collected
      AND events.occurred_at <= statement_timestamp()
      AND EXISTS (SELECT FROM data.offers WHERE offers.dataset = %(dataset)s AND offers.product_id = events.product_id)
),
acted AS MATERIALIZED (
    SELECT user_id, greatest(
        %(as_of)s,
        (SELECT max(occurred_at) FROM data.behaviour
         WHERE behaviour.dataset = %(dataset)s AND behaviour.user_id = claimed.user_id
           AND occurred_at <= statement_timestamp()),
        (SELECT max(occurred_at) FROM pricing.events
         WHERE events.user_id = claimed.user_id AND events.dataset = %(dataset)s AND NOT events.collected
           AND occurred_at <= statement_timestamp())) AS newest
    FROM (SELECT DISTINCT user_id FROM claimed) AS claimed
),
moved AS MATERIALIZED (
    SELECT product_id, (SELECT max(observed_at) FROM data.market
                        WHERE market.dataset = %(dataset)s AND market.product_id = met.product_id
                          AND observed_at <= statement_timestamp()) AS newest
    FROM (SELECT DISTINCT product_id FROM pair) AS met
)
INSERT INTO decision (decision_id, user_id, product_id, decided_at, pool_id)
SELECT (row_number() OVER ())::text, user_id, product_id,
       greatest(acted.newest, moved.newest) + interval '1 microsecond',
       CASE WHEN repriced.product_id IS NULL THEN uniform.pool_id ELSE repriced.pool_id END
FROM pair
JOIN acted USING (user_id)
JOIN moved USING (product_id)
JOIN pricing.uniform_prices AS uniform USING (product_id)
LEFT JOIN pricing.repriced_uniform AS repriced USING (book_id, product_id)
WHERE uniform.book_id = %(book_id)s
