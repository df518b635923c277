-- What was known of each decision's user, product and market strictly before it was made. What the user's own events say
-- is counted from their histories, which the model reads as well: see models/features/history.py.
WITH seen_market AS (
    SELECT moment.product_id, moment.decided_at, market.*
    FROM (SELECT DISTINCT product_id, decided_at FROM decision) AS moment
    CROSS JOIN LATERAL (
        SELECT competitor_price, demand_index, supply_index, attributes AS market_attributes
        FROM data.market
        WHERE market.dataset = %(dataset)s AND market.product_id = moment.product_id
          AND market.observed_at < moment.decided_at
        ORDER BY market.observed_at DESC
        LIMIT 1
    ) AS market
)
SELECT decision.decision_id, decision.user_id, decision.product_id, decision.decided_at,
       terms.list_price, coalesce(decision.unit_cost, products.unit_cost) AS unit_cost,
       coalesce(decision.floor, products.floor) AS floor, coalesce(decision.ceiling, products.ceiling) AS ceiling,
       coalesce(decision.quantity, 1) AS quantity, decision.pool_id, products.category, products.brand,
       -- somebody no table knows has given no consent
       users.user_id IS NOT NULL AND coalesce(users.personalisation_consent, true) AS consent,
       decision.price, decision.purchased, coalesce(decision.randomised, false) AS randomised,
       decision.propensity, coalesce(decision.weight, 1) AS weight, coalesce(decision.quoted, false) AS quoted,
       seen_market.competitor_price / nullif(terms.list_price, 0) AS market_competitor_ratio,
       seen_market.demand_index AS market_demand_index,
       seen_market.supply_index AS market_supply_index,
       to_char(decision.decided_at AT TIME ZONE 'UTC', 'ID') AS calendar_weekday,
       users.attributes AS user_attributes, products.attributes AS product_attributes,
       decision.attributes AS context_attributes, seen_market.market_attributes
FROM decision
JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = decision.product_id
CROSS JOIN LATERAL (SELECT coalesce(decision.list_price, products.list_price) AS list_price) AS terms
LEFT JOIN data.users ON users.dataset = %(dataset)s AND users.user_id = decision.user_id
LEFT JOIN seen_market
  ON seen_market.product_id = decision.product_id AND seen_market.decided_at = decision.decided_at
ORDER BY decision.user_id, decision.decided_at, decision.decision_id
