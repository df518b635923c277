-- The newest events between two moments, collected or still only recorded.
SELECT occurred_at AS at, kind, category, dwell_seconds
FROM (
    SELECT occurred_at, kind, category, dwell_seconds FROM data.behaviour
    WHERE dataset = %(dataset)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
    UNION ALL
    SELECT occurred_at, kind, category, dwell_seconds FROM pricing.events
    WHERE dataset = %(dataset)s AND NOT collected AND occurred_at >= %(since)s AND occurred_at < %(until)s
) AS events
ORDER BY occurred_at DESC
LIMIT %(most)s
