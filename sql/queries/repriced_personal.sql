-- Some of the personal prices that were set since a book and are quoted, those of one of so many parts of the users,
-- with what they and their products' were set from.
SELECT personal.user_id, personal.product_id, now_set.pool_id, personal.price, personal.lower, personal.upper,
       personal.randomised, personal.propensity, now_set.list_price, now_set.unit_cost, now_set.floor, now_set.ceiling,
       now_set.bid_price, personal.sensitivity, personal.valuation, personal.live_price, personal.live_propensity,
       now_set.sensitivity AS uniform_sensitivity, now_set.valuation AS uniform_valuation,
       now_set.live_price AS live_uniform_price
FROM pricing.repriced_personal AS personal
JOIN pricing.uniform_prices AS published USING (book_id, product_id)
LEFT JOIN pricing.repriced_uniform AS repriced USING (book_id, product_id)
CROSS JOIN LATERAL (
    SELECT repriced.pool_id, repriced.list_price, repriced.unit_cost, repriced.floor, repriced.ceiling,
           repriced.bid_price, repriced.sensitivity, repriced.valuation, repriced.live_price
    WHERE repriced.product_id IS NOT NULL
    UNION ALL
    SELECT published.pool_id, published.list_price, published.unit_cost, published.floor, published.ceiling, NULL,
           published.sensitivity, published.valuation, published.live_price
    WHERE repriced.product_id IS NULL
) AS now_set
WHERE book_id = %(book_id)s AND personal.price IS NOT NULL
  AND (hashtext(personal.user_id) & 2147483647) %% %(parts)s = %(part)s
  AND personal.uniform_repriced_at IS NOT DISTINCT FROM repriced.repriced_at
