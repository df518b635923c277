-- What known users did, as the storefront recorded it and no collection has brought in yet, nor any other source: what
-- is in the dataset stays as it is.
SELECT event_id::text, user_id, occurred_at, kind, product_id, category, dwell_seconds
FROM pricing.events
JOIN data.users USING (dataset, user_id)
WHERE dataset = %(dataset)s AND NOT collected AND occurred_at <= coalesce(%(until)s::timestamptz, 'infinity')
  AND NOT EXISTS (SELECT FROM data.behaviour AS known
                  WHERE known.dataset = %(dataset)s AND known.event_id = events.event_id::text)
ORDER BY occurred_at
