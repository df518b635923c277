-- What each pool that sells at a moment, of those asked for if any are, has left: its capacity less the units that its
-- offers have sold, and those that the storefront has sold since.
SELECT stock.pool_id, stock.capacity - pricing.units_sold(%(dataset)s, stock.pool_id) AS remaining
FROM (
    SELECT pool_id, max(capacity) AS capacity
    FROM data.inventory
    WHERE dataset = %(dataset)s AND (%(pools)s::text[] IS NULL OR pool_id = ANY (%(pools)s::text[]))
      AND coalesce(sells_from <= %(decided_at)s, true) AND coalesce(sells_until > %(decided_at)s, true)
    GROUP BY pool_id
) AS stock
