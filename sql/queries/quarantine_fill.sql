-- Failing rows, kept whole; a newer row takes the place of an older one with the same key.
INSERT INTO pricing.quarantine (dataset, table_name, row_key, rule, origin, row_number, "row")
SELECT %(dataset)s, %(table)s, {row_key}, rule, origin, row_number,
       to_jsonb(waiting) - '{{waiting_id, origin, row_number, quarantine_id, rule}}'::text[]
FROM {waiting} AS waiting
WHERE rule IS NOT NULL
ON CONFLICT (dataset, table_name, row_key) DO UPDATE
SET rule = excluded.rule, origin = excluded.origin, row_number = excluded.row_number, "row" = excluded."row",
    released = false, quarantined_at = now()
