-- The uniform prices that were set since a book, with what they were set from; `highest_bid` is what a unit of their
-- stock can be worth.
SELECT NULL::text AS user_id, product_id, pool_id, price, lower, upper, personal_lower, personal_upper, list_price, unit_cost, floor, ceiling,
       uniform.bid_price, curve.bid_price[1] AS highest_bid, sensitivity AS uniform_sensitivity,
       valuation AS uniform_valuation, live_price AS live_uniform_price
FROM pricing.repriced_uniform AS uniform
LEFT JOIN pricing.bid_price_curves AS curve USING (book_id, pool_id)
WHERE book_id = %(book_id)s AND price IS NOT NULL
