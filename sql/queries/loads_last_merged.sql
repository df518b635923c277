-- The newest merged load of a dataset.
SELECT load_id, fingerprint, currency, row_counts FROM data.loads
WHERE dataset = %(dataset)s AND state = 'merged' ORDER BY load_id DESC LIMIT 1
