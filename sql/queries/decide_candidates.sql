-- One block of users' candidate prices, to be decided as of one moment.
INSERT INTO decision (decision_id, user_id, product_id, decided_at, pool_id)
SELECT (row_number() OVER ())::text, user_id, product_id, %(decided_at)s, pool.pool_id
FROM candidate
LEFT JOIN selling_pool AS pool USING (product_id)
WHERE user_number >= %(first_user)s AND user_number < %(first_user)s + %(users)s
