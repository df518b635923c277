-- The pool each product's stock comes from at one moment.
DROP TABLE IF EXISTS selling_pool;
CREATE TEMPORARY TABLE selling_pool ON COMMIT DROP AS
SELECT product_id, pool_id FROM pricing.selling_pools(%(dataset)s, %(decided_at)s)
