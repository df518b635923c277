-- The pools whose stock perishes at a known time, within a year; a later one means that there is none.
SELECT pool_id FROM data.inventory
WHERE dataset = %(dataset)s
GROUP BY pool_id
HAVING bool_and(coalesce(sells_until < %(decided_at)s + interval '1 year', false))
