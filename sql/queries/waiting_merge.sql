-- New rows are added, changed rows renewed, equal rows left alone.
INSERT INTO {table} AS kept (dataset, {columns})
SELECT %(dataset)s, {columns} FROM {waiting} WHERE rule IS NULL ORDER BY {key}
ON CONFLICT (dataset, {key}) DO UPDATE SET ({values}) = ROW({new_values})
WHERE ({kept_values}) IS DISTINCT FROM ({new_values})
