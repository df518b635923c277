-- One user and product, to be decided as a book of that moment did.
INSERT INTO decision (decision_id, user_id, product_id, decided_at, pool_id)
SELECT 'pair', %(user_id)s, product_id, %(decided_at)s, pool.pool_id
FROM data.products
LEFT JOIN selling_pool AS pool USING (product_id)
WHERE dataset = %(dataset)s AND product_id = %(product_id)s
