-- Events between two moments, collected or still only recorded. Of many, all of every so many-th user.
SELECT kind, category, dwell_seconds
FROM (
    SELECT user_id, kind, category, dwell_seconds FROM data.behaviour
    WHERE dataset = %(dataset)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
    UNION ALL
    SELECT user_id, kind, category, dwell_seconds FROM pricing.events
    WHERE dataset = %(dataset)s AND NOT collected AND occurred_at >= %(since)s AND occurred_at < %(until)s
) AS events
WHERE (hashtext(user_id) & 2147483647) %% %(every)s = 0
