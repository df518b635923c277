-- What each pool that sells at a moment has left: its capacity less the units its offers have sold.
SELECT stock.pool_id, stock.capacity - coalesce(sold.units, 0) AS remaining
FROM (
    SELECT pool_id, max(capacity) AS capacity
    FROM data.inventory
    WHERE dataset = %(dataset)s
      AND coalesce(sells_from <= %(decided_at)s, true) AND coalesce(sells_until > %(decided_at)s, true)
    GROUP BY pool_id
) AS stock
LEFT JOIN (
    SELECT pool_id, sum(coalesce(quantity, 1)) AS units
    FROM data.offers
    WHERE dataset = %(dataset)s AND purchased AND pool_id IS NOT NULL
    GROUP BY pool_id
) AS sold USING (pool_id)
