-- The newest time that the source itself gave. What a storefront recorded runs ahead of it, and must not hide its late
-- rows.
SELECT max(occurred_at) AS newest
FROM data.behaviour
WHERE dataset = %(dataset)s
  AND NOT EXISTS (SELECT FROM pricing.events WHERE event_id::text = behaviour.event_id)
