-- The products each active user gets a personal price for: those of their own history first, the most
-- frequent ahead, then those they are quoted a personal price for already, so that it does not lapse, then the
-- products most bought by all. Only products with logged offers take part:
-- for the others nothing is known of how price moves demand.
CREATE TEMPORARY TABLE candidate ON COMMIT DROP AS
WITH recent AS (
    SELECT user_id, product_id
    FROM data.behaviour
    WHERE dataset = %(dataset)s AND occurred_at > %(active_since)s
),
active AS (
    SELECT DISTINCT recent.user_id
    FROM recent
    LEFT JOIN data.users ON users.dataset = %(dataset)s AND users.user_id = recent.user_id
    WHERE coalesce(users.personalisation_consent, true)
),
offered AS (
    SELECT DISTINCT product_id FROM data.offers WHERE dataset = %(dataset)s
),
popular AS (
    SELECT product_id, row_number() OVER (ORDER BY count(recent.product_id) DESC, product_id) AS place
    FROM offered
    LEFT JOIN recent USING (product_id)
    GROUP BY product_id
),
own AS (
    SELECT user_id, product_id, count(*) AS events
    FROM data.behaviour
    JOIN active USING (user_id)
    JOIN offered USING (product_id)
    WHERE dataset = %(dataset)s
    GROUP BY user_id, product_id
),
quoted AS (
    SELECT personal.user_id, personal.product_id
    FROM pricing.live
    JOIN pricing.books ON books.book_id = live.book_id AND books.dataset = %(dataset)s
    JOIN pricing.personal_prices AS personal ON personal.book_id = live.book_id
    JOIN active USING (user_id)
    JOIN offered USING (product_id)
),
ranked AS (
    SELECT user_id, product_id, row_number() OVER (
               PARTITION BY user_id
               ORDER BY coalesce(own.events, 0) DESC, quoted.product_id IS NULL, popular.place) AS place
    FROM (
        SELECT user_id, product_id FROM own
        UNION
        SELECT user_id, product_id FROM quoted
        UNION
        SELECT active.user_id, popular.product_id
        FROM active JOIN popular ON popular.place <= %(products_per_user)s
    ) AS pair
    LEFT JOIN own USING (user_id, product_id)
    LEFT JOIN quoted USING (user_id, product_id)
    JOIN popular USING (product_id)
)
SELECT user_id, product_id, dense_rank() OVER (ORDER BY user_id) - 1 AS user_number
FROM ranked
WHERE place <= %(products_per_user)s
