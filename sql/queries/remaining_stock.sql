-- What the pools that are asked for, or else all that sell at a moment, have left: their capacity less what they sold.
SELECT stock.pool_id, stock.capacity - pricing.units_sold(%(dataset)s, stock.pool_id) AS remaining
FROM (
    SELECT pool_id, max(capacity) AS capacity
    FROM data.inventory
    WHERE dataset = %(dataset)s
      AND CASE WHEN %(pools)s::text[] IS NULL
               THEN coalesce(sells_from <= %(decided_at)s, true) AND coalesce(sells_until > %(decided_at)s, true)
               ELSE pool_id = ANY (%(pools)s::text[]) END
    GROUP BY pool_id
) AS stock
