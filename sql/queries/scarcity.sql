-- How scarce some products' stock has become under a book: the curve of what a unit of the pool is worth, the units that it
-- has left, and which share of what the book expects is still to come. Where stock sells until a time that is how much of
-- it is left; else, each of the book's pairs being one request, the pairs that have not been quoted yet.
WITH asked AS MATERIALIZED (
    SELECT DISTINCT pool_id FROM pricing.uniform_prices
    WHERE book_id = %(book_id)s AND product_id = ANY (%(products)s) AND pool_id IS NOT NULL
),
sold AS MATERIALIZED (
    SELECT product_id, pool_id FROM pricing.uniform_prices JOIN asked USING (pool_id) WHERE book_id = %(book_id)s
),
requested AS (
    SELECT sold.pool_id, count(DISTINCT (user_id, product_id)) AS pairs
    FROM sold
    JOIN pricing.quotes USING (product_id)
    JOIN pricing.personal_prices AS pair USING (user_id, product_id)
    WHERE quotes.book_id = %(book_id)s AND pair.book_id = %(book_id)s AND quotes.pool_id IS NOT NULL
    GROUP BY sold.pool_id
)
SELECT curve.pool_id, curve.requests, curve.units, curve.bid_price,
       stock.capacity - pricing.units_sold(%(dataset)s, stock.pool_id) AS remaining,
       CASE WHEN stock.ends > statement_timestamp() AND statement_timestamp() > %(as_of)s
            THEN extract(epoch FROM stock.ends - statement_timestamp()) / extract(epoch FROM stock.ends - %(as_of)s)
            ELSE 1 - coalesce(requested.pairs, 0) / curve.requests END::double precision AS to_come
FROM (SELECT pool_id, max(capacity) AS capacity, max(sells_until) AS ends FROM data.inventory JOIN asked USING (pool_id)
      WHERE dataset = %(dataset)s GROUP BY pool_id) AS stock
JOIN pricing.bid_price_curves AS curve USING (pool_id)
LEFT JOIN requested USING (pool_id)
WHERE curve.book_id = %(book_id)s
