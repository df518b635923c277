-- Decisions still to be made: the columns of offers, without an outcome.
DROP TABLE IF EXISTS decision;
CREATE TEMPORARY TABLE decision ON COMMIT DROP AS
SELECT offer_id AS decision_id, user_id, product_id, offered_at AS decided_at,
       list_price, unit_cost, floor, ceiling, quantity, pool_id, attributes,
       price, purchased, randomised, propensity, weight, false AS quoted
FROM data.offers
WHERE false
