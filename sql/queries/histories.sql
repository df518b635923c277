-- The events of the users now being decided for, in the order that history offsets count in.
SELECT behaviour.user_id, behaviour.kind, behaviour.product_id,
       coalesce(behaviour.category, products.category) AS category,
       behaviour.dwell_seconds, behaviour.occurred_at
FROM data.behaviour
LEFT JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = behaviour.product_id
WHERE behaviour.dataset = %(dataset)s AND behaviour.user_id IN (SELECT user_id FROM decision)
ORDER BY behaviour.user_id, behaviour.occurred_at, behaviour.event_id
