-- An alarm whose checks have all been told of lately is not raised again; two runs at once wait for each other.
LOCK TABLE pricing.alarms IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO pricing.alarms (model_version, window_ended_at, action, checks, book_id)
SELECT %(model_version)s, %(window_ended_at)s, %(action)s, %(checks)s::text[], %(book_id)s
WHERE NOT %(checks)s::text[] <@ ARRAY(
    SELECT unnest(checks) FROM pricing.alarms
    WHERE model_version = %(model_version)s AND action = %(action)s AND window_ended_at > %(told_since)s
)
ON CONFLICT DO NOTHING
RETURNING raised_at
