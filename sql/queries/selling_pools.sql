-- The pool each product's stock comes from at one moment: the first that sells then.
DROP TABLE IF EXISTS selling_pool;
CREATE TEMPORARY TABLE selling_pool ON COMMIT DROP AS
SELECT product_id, min(pool_id) AS pool_id
FROM data.inventory
WHERE dataset = %(dataset)s
  AND coalesce(sells_from <= %(decided_at)s, true) AND coalesce(sells_until > %(decided_at)s, true)
GROUP BY product_id
