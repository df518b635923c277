-- How scarce some products' stock has become under a book: the curve of what a unit of the pool is worth, the units that it
-- has left, and how many users have asked for its products already; that they ask again is not another request.
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
    WHERE quotes.book_id = %(book_id)s AND priced_from ? 'pool_id'
    GROUP BY sold.pool_id
)
SELECT curve.pool_id, curve.requests, curve.units, curve.bid_price, coalesce(requested.pairs, 0) AS requested,
       stock.capacity - pricing.units_sold(%(dataset)s, stock.pool_id) AS remaining
FROM (SELECT pool_id, max(capacity) AS capacity FROM data.inventory JOIN asked USING (pool_id)
      WHERE dataset = %(dataset)s GROUP BY pool_id) AS stock
JOIN pricing.bid_price_curves AS curve USING (pool_id)
LEFT JOIN requested USING (pool_id)
WHERE curve.book_id = %(book_id)s
