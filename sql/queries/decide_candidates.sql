-- One block of users' candidate prices, to be decided as of one moment.
INSERT INTO decision (decision_id, user_id, product_id, decided_at, pool_id, quantity)
SELECT (row_number() OVER (ORDER BY user_id, product_id))::text, user_id, product_id, %(decided_at)s, pool.pool_id, quantity
FROM candidate
LEFT JOIN selling_pool AS pool USING (product_id)
