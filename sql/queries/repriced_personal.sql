-- Some of the personal prices that were set since the live book and are quoted, those of one of so many parts of the
-- users, with what they and their products' were set from.
SELECT user_id, product_id, pool_id, price, lower, upper, randomised, propensity, list_price, unit_cost, floor, ceiling,
       bid_price, sensitivity, valuation, live_price, live_propensity, uniform_sensitivity, uniform_valuation,
       live_uniform_price
FROM pricing.quoted_personal
WHERE book_id = %(book_id)s AND repriced_at IS NOT NULL
  AND (hashtext(user_id) & 2147483647) %% %(parts)s = %(part)s
