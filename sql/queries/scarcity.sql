-- How scarce some products' stock has become under a book: the curve of what a unit of the pool is worth, the units that
-- it has left, and how many of the book's pairs have been quoted already.
WITH pool AS (
    SELECT DISTINCT pool_id FROM pricing.uniform_prices
    WHERE book_id = %(book_id)s AND product_id = ANY (%(products)s)
)
SELECT curve.pool_id, curve.requests, curve.units, curve.bid_price,
       (SELECT max(capacity) FROM data.inventory WHERE dataset = %(dataset)s AND pool_id = pool.pool_id)
           - pricing.units_sold(%(dataset)s, pool.pool_id) AS remaining,
       (SELECT count(DISTINCT (user_id, product_id)) FROM pricing.quotes
        JOIN pricing.uniform_prices AS sold USING (book_id, product_id)
        JOIN pricing.personal_prices USING (book_id, user_id, product_id)
        WHERE book_id = %(book_id)s AND sold.pool_id = pool.pool_id AND priced_from ? 'pool_id') AS requested
FROM pool
JOIN pricing.bid_price_curves AS curve ON curve.book_id = %(book_id)s AND curve.pool_id = pool.pool_id
