-- The logged offers of a range of users as decisions to extract features for; without an end it is open.
CREATE TEMPORARY TABLE decision ON COMMIT DROP AS
SELECT offer_id AS decision_id, user_id, product_id, offered_at AS decided_at,
       list_price, unit_cost, floor, ceiling, quantity, pool_id, attributes,
       price, purchased, randomised, propensity, weight
FROM data.offers
WHERE dataset = %(dataset)s
  AND user_id >= %(first_user)s AND (%(next_user)s::text IS NULL OR user_id < %(next_user)s)
