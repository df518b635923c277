-- What is asked of each candidate pair while the stock of its product is sold: the product's offers a day, of late, for the
-- days that its pool still sells, shared among its pairs. Where a pool sells without an end each pair is one request.
CREATE TEMPORARY TABLE to_come ON COMMIT DROP AS
WITH span AS (
    SELECT greatest(min(offered_at), %(active_since)s) AS since FROM data.offers WHERE dataset = %(dataset)s
),
asked AS (
    SELECT product_id, sum(coalesce(quantity, 1)) AS units
    FROM data.offers
    JOIN span ON offered_at >= since
    WHERE dataset = %(dataset)s
    GROUP BY product_id
)
SELECT product_id, (coalesce(asked.units, 0) + 1)  -- so that what was hardly asked for sells something
       / greatest(extract(epoch FROM %(decided_at)s - span.since)::double precision / 86400, 1)
       * extract(epoch FROM pool.sells_until - %(decided_at)s)::double precision / 86400 / pairs.pairs AS quantity
FROM (SELECT product_id, count(*) AS pairs FROM candidate GROUP BY product_id) AS pairs
JOIN selling_pool USING (product_id)
JOIN (SELECT pool_id, max(sells_until) AS sells_until FROM data.inventory WHERE dataset = %(dataset)s
      GROUP BY pool_id HAVING bool_and(sells_until IS NOT NULL)) AS pool USING (pool_id)
LEFT JOIN asked USING (product_id)
CROSS JOIN span
