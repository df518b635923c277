-- The events of the users now being decided for, in the order that history offsets count in; with those recorded and
-- not yet collected where they are asked for.
SELECT seen.user_id, seen.kind, seen.product_id, coalesce(seen.category, products.category) AS category,
       seen.dwell_seconds, seen.occurred_at
FROM (
    SELECT event_id, user_id, kind, product_id, category, dwell_seconds, occurred_at
    FROM data.behaviour
    WHERE dataset = %(dataset)s AND user_id IN (SELECT user_id FROM decision)
    UNION ALL
    SELECT event_id::text, user_id, kind, product_id, category, dwell_seconds, occurred_at
    FROM pricing.events
    WHERE %(recorded)s AND dataset = %(dataset)s AND NOT collected AND user_id IN (SELECT user_id FROM decision)
) AS seen
LEFT JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = seen.product_id
ORDER BY seen.user_id, seen.occurred_at, seen.event_id
