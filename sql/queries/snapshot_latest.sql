-- The snapshot that the newest merged load of a dataset led to.
SELECT snapshots.snapshot_id, snapshots.currency, snapshots.row_counts, snapshots.as_of, snapshots.validation
FROM data.loads
JOIN data.snapshots ON snapshots.snapshot_id = loads.validation ->> 'snapshot_id'
WHERE loads.dataset = %(dataset)s AND loads.state = 'merged'
ORDER BY load_id DESC
LIMIT 1
