-- How many rows monitored_quotes has before it picks users.
SELECT count(*)
FROM pricing.quotes
WHERE source = 'personal' AND model_version = %(model_version)s
  AND quoted_at >= %(since)s AND quoted_at < %(until)s
