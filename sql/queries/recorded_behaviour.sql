-- What known users did, as the storefront recorded it and no collection has brought in yet.
SELECT event_id::text, user_id, occurred_at, kind, product_id, category, dwell_seconds
FROM pricing.events
JOIN data.users USING (dataset, user_id)
WHERE dataset = %(dataset)s AND NOT collected AND occurred_at <= coalesce(%(until)s::timestamptz, 'infinity')
ORDER BY occurred_at
