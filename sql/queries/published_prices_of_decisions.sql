-- What later prices of one book continue: the price that the book itself has of each pair now being decided, or else
-- its product's, which steps count from; the propensity of a price it drew; and the product's demand curve by which
-- the uniform price is set now.
SELECT decision.decision_id, coalesce(personal.price, uniform.price) AS price, uniform.price AS uniform_price,
       CASE WHEN personal.randomised THEN personal.propensity END AS propensity,
       coalesce(repriced.sensitivity, uniform.sensitivity) AS sensitivity,
       coalesce(repriced.valuation, uniform.valuation) AS valuation
FROM decision
JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = %(book_id)s AND uniform.product_id = decision.product_id
LEFT JOIN pricing.repriced_uniform AS repriced
  ON repriced.book_id = %(book_id)s AND repriced.product_id = decision.product_id
LEFT JOIN pricing.personal_prices AS personal
  ON personal.book_id = %(book_id)s AND personal.user_id = decision.user_id
 AND personal.product_id = decision.product_id
