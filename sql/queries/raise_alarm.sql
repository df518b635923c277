-- An alarm that was raised before is not raised again.
INSERT INTO pricing.alarms (model_version, window_ended_at, action, checks, book_id)
VALUES (%(model_version)s, %(window_ended_at)s, %(action)s, %(checks)s, %(book_id)s)
ON CONFLICT DO NOTHING
RETURNING raised_at
