-- Some of the personal prices that were set since the live book and are quoted, those of one of so many parts of the
-- users, with what they and their products' were set from.
SELECT personal.user_id, personal.product_id, uniform.pool_id, personal.price, personal.lower, personal.upper,
       personal.randomised, personal.propensity, uniform.list_price, uniform.unit_cost, uniform.floor, uniform.ceiling,
       uniform.bid_price, personal.sensitivity, personal.valuation, personal.live_price, personal.live_propensity,
       uniform.sensitivity AS uniform_sensitivity, uniform.valuation AS uniform_valuation,
       uniform.live_price AS live_uniform_price
FROM pricing.repriced_personal AS personal
JOIN pricing.current_uniform AS uniform USING (book_id, product_id)
WHERE book_id = %(book_id)s AND personal.price IS NOT NULL
  AND personal.uniform_repriced_at IS NOT DISTINCT FROM uniform.repriced_at
  AND (hashtext(personal.user_id) & 2147483647) %% %(parts)s = %(part)s
