-- The keys a dataset's other tables may refer to: those it has, and those of this load that pass.
CREATE TEMPORARY TABLE {known} ON COMMIT DROP AS
SELECT {key} AS id FROM {table} WHERE dataset = %(dataset)s
UNION
SELECT {key} FROM {waiting} WHERE rule IS NULL;
ANALYZE {known};
