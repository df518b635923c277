-- A dataset's first rows: nothing there that they could meet.
INSERT INTO {table} (dataset, {columns})
SELECT %(dataset)s, {columns} FROM {waiting} WHERE rule IS NULL ORDER BY {key}
