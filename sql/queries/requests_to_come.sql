-- What is asked of each candidate pair while the stock of its product is sold: the product's offers a day, in the last weeks
-- that have any, for the days that it still sells, shared among its pairs. Where it sells without an end, or for more than
-- a year, each pair is one request.
CREATE TEMPORARY TABLE to_come ON COMMIT DROP AS
WITH span AS (
    SELECT greatest(min(offered_at), max(offered_at) - %(weeks)s::interval) AS since, max(offered_at) AS until
    FROM data.offers WHERE dataset = %(dataset)s
),
asked AS (
    SELECT product_id, sum(coalesce(quantity, 1)) AS units
    FROM data.offers
    JOIN span ON offered_at >= since
    WHERE dataset = %(dataset)s
    GROUP BY product_id
)
SELECT product_id, (coalesce(asked.units, 0) + 1)  -- so that what was hardly asked for sells something
       / greatest(extract(epoch FROM span.until - span.since)::double precision / 86400, 1)
       * extract(epoch FROM stock.sells_until - %(decided_at)s)::double precision / 86400 / pairs.pairs AS quantity
FROM (SELECT product_id, count(*) AS pairs FROM candidate GROUP BY product_id) AS pairs
JOIN selling_pool USING (product_id)
JOIN data.inventory AS stock USING (pool_id, product_id)
LEFT JOIN asked USING (product_id)
CROSS JOIN span
WHERE stock.dataset = %(dataset)s AND stock.sells_until < %(decided_at)s + interval '1 year'
