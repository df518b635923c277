-- The pools whose stock perishes at a known time.
SELECT pool_id FROM data.inventory
WHERE dataset = %(dataset)s
GROUP BY pool_id
HAVING bool_and(sells_until IS NOT NULL)
