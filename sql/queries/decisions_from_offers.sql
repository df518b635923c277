-- The logged offers of a range of users as decisions to extract features for; without an end it is open. An offer that
-- the platform itself quoted from its book has the quote's id.
CREATE TEMPORARY TABLE decision ON COMMIT DROP AS
SELECT offer_id AS decision_id, user_id, product_id, offered_at AS decided_at,
       list_price, unit_cost, floor, ceiling, quantity, pool_id, attributes,
       price, purchased, randomised, propensity, weight,
       EXISTS (SELECT FROM pricing.quotes
               WHERE quote_id = CASE WHEN offer_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN offer_id::uuid END
                 AND source IN ('personal', 'uniform')) AS quoted
FROM data.offers
WHERE dataset = %(dataset)s
  AND user_id >= %(first_user)s AND (%(next_user)s::text IS NULL OR user_id < %(next_user)s)
