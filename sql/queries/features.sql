-- What was known of each decision's user, product and market strictly before it was made.
-- One timeline holds events and decisions; at equal times a decision sorts before an event,
-- so a running aggregate at a decision has seen earlier events only.
WITH asked AS (
    SELECT decision.*, products.category, products.brand,
           coalesce(decision.list_price, products.list_price) AS current_list_price,
           coalesce(decision.unit_cost, products.unit_cost) AS current_unit_cost,
           coalesce(decision.floor, products.floor) AS current_floor,
           coalesce(decision.ceiling, products.ceiling) AS current_ceiling,
           products.attributes AS product_attributes
    FROM decision
    JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = decision.product_id
),
-- Batch reads what was collected and validated; real time also what was recorded since.
seen AS (
    SELECT user_id, product_id, category, occurred_at, kind
    FROM data.behaviour
    WHERE dataset = %(dataset)s AND user_id IN (SELECT user_id FROM decision)
    UNION ALL
    SELECT user_id, product_id, category, occurred_at, kind
    FROM pricing.events
    WHERE %(recorded)s AND dataset = %(dataset)s AND NOT collected AND user_id IN (SELECT user_id FROM decision)
),
timeline AS (
    SELECT behaviour.user_id, behaviour.product_id, coalesce(behaviour.category, products.category) AS category,
           behaviour.occurred_at AS at, 1 AS event, (behaviour.kind = 'purchase')::integer AS purchase,
           NULL AS decision_id
    FROM seen AS behaviour
    LEFT JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = behaviour.product_id
    UNION ALL
    SELECT user_id, product_id, category, decided_at, 0, 0, decision_id
    FROM asked
),
past AS (
    SELECT decision_id, at,
           sum(event) OVER by_user AS events_seen,
           sum(purchase) OVER by_user AS purchases_seen,
           min(at) FILTER (WHERE event = 1) OVER by_user AS first_event_at,
           max(at) FILTER (WHERE event = 1) OVER by_user AS last_event_at,
           sum(event) OVER by_product AS product_events,
           sum(purchase) OVER by_product AS product_purchases,
           max(at) FILTER (WHERE event = 1) OVER by_product AS last_product_event_at,
           sum(event) OVER by_category AS category_events,
           sum(purchase) OVER by_category AS category_purchases,
           max(at) FILTER (WHERE event = 1) OVER by_category AS last_category_event_at
    FROM timeline
    WINDOW by_user AS (PARTITION BY user_id ORDER BY at, event),
           by_product AS (PARTITION BY user_id, product_id ORDER BY at, event),
           by_category AS (PARTITION BY user_id, category ORDER BY at, event)
),
seen_market AS (
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
SELECT asked.decision_id, asked.user_id, asked.product_id, asked.decided_at,
       current_list_price AS list_price, current_unit_cost AS unit_cost,
       current_floor AS floor, current_ceiling AS ceiling,
       coalesce(asked.quantity, 1) AS quantity, asked.pool_id, asked.category, asked.brand,
       -- somebody no table knows has given no consent
       users.user_id IS NOT NULL AND coalesce(users.personalisation_consent, true) AS consent,
       asked.price, asked.purchased, coalesce(asked.randomised, false) AS randomised,
       asked.propensity, coalesce(asked.weight, 1) AS weight,
       past.events_seen,
       ln(1 + past.events_seen) AS activity_events,
       ln(1 + past.purchases_seen) AS activity_purchases,
       extract(epoch FROM past.at - past.first_event_at)::double precision / 86400 AS activity_days_known,
       extract(epoch FROM past.at - past.last_event_at)::double precision / 86400 AS activity_days_since_event,
       ln(1 + past.product_events) AS pair_product_events,
       ln(1 + past.product_purchases) AS pair_product_purchases,
       extract(epoch FROM past.at - past.last_product_event_at)::double precision / 86400
           AS pair_days_since_product,
       CASE WHEN asked.category IS NOT NULL THEN ln(1 + past.category_events) END AS pair_category_events,
       CASE WHEN asked.category IS NOT NULL THEN ln(1 + past.category_purchases) END
           AS pair_category_purchases,
       CASE WHEN asked.category IS NOT NULL
            THEN extract(epoch FROM past.at - past.last_category_event_at)::double precision / 86400 END
           AS pair_days_since_category,
       seen_market.competitor_price / nullif(current_list_price, 0) AS market_competitor_ratio,
       seen_market.demand_index AS market_demand_index,
       seen_market.supply_index AS market_supply_index,
       to_char(asked.decided_at AT TIME ZONE 'UTC', 'ID') AS calendar_weekday,
       users.attributes AS user_attributes, asked.product_attributes,
       asked.attributes AS context_attributes, seen_market.market_attributes
FROM asked
JOIN past USING (decision_id)
LEFT JOIN data.users ON users.dataset = %(dataset)s AND users.user_id = asked.user_id
LEFT JOIN seen_market ON seen_market.product_id = asked.product_id AND seen_market.decided_at = asked.decided_at
ORDER BY asked.user_id, asked.decided_at, asked.decision_id
