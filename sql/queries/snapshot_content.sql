-- The number of a dataset's rows in a table and a hash of them that does not depend on their order: sums of row hashes.
SELECT count(*), md5(concat_ws(' ', sum(('x' || left(hash, 16))::bit(64)::bigint), sum(('x' || right(hash, 16))::bit(64)::bigint)))
FROM (SELECT md5(ROW({values})::text) AS hash FROM {table} WHERE dataset = %(dataset)s) AS rows
