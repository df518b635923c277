-- The same content is the same snapshot, stored once.
INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)
VALUES (%(snapshot_id)s, %(dataset)s, %(currency)s, %(row_counts)s, %(as_of)s, %(validation)s)
ON CONFLICT (snapshot_id) DO NOTHING
