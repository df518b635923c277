-- What later prices of one book continue: the price that the book itself has of each pair now being decided, or else
-- its product's, which steps count from; the propensity of a price it drew; and what the product's uniform price is set
-- from now, its own steps and a bid price since the book included, so that a pair meets the very uniform price that is
-- quoted. A user's prices lie side by side and are read at once.
WITH own AS MATERIALIZED (
    SELECT personal.user_id, personal.product_id, personal.price, personal.randomised, personal.propensity
    FROM (SELECT DISTINCT user_id FROM decision) AS deciding
    JOIN pricing.personal_prices AS personal ON personal.book_id = %(book_id)s AND personal.user_id = deciding.user_id
)
SELECT decision.decision_id, coalesce(own.price, uniform.price) AS price, uniform.price AS uniform_price,
       now_set.live_price AS uniform_live_price,
       CASE WHEN own.randomised THEN own.propensity END AS propensity,
       now_set.sensitivity, now_set.valuation, now_set.list_price, now_set.unit_cost, now_set.floor, now_set.ceiling,
       CASE WHEN repriced.pool_id = decision.pool_id THEN repriced.bid_price END AS bid_price,  -- of that very stock
       repriced.repriced_at AS uniform_repriced_at
FROM decision
JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = %(book_id)s AND uniform.product_id = decision.product_id
LEFT JOIN pricing.repriced_uniform AS repriced
  ON repriced.book_id = %(book_id)s AND repriced.product_id = decision.product_id
CROSS JOIN LATERAL (
    SELECT repriced.sensitivity, repriced.valuation, repriced.list_price, repriced.unit_cost, repriced.floor,
           repriced.ceiling, repriced.live_price
    WHERE repriced.product_id IS NOT NULL
    UNION ALL
    SELECT uniform.sensitivity, uniform.valuation, uniform.list_price, uniform.unit_cost, uniform.floor,
           uniform.ceiling, uniform.live_price
    WHERE repriced.product_id IS NULL
) AS now_set
LEFT JOIN own ON own.user_id = decision.user_id AND own.product_id = decision.product_id
