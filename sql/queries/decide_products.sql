-- Every product as a decision for nobody in particular: what the uniform price is set from.
INSERT INTO decision (decision_id, user_id, product_id, decided_at, pool_id)
SELECT product_id, '', product_id, %(decided_at)s, pool.pool_id
FROM data.products
LEFT JOIN selling_pool AS pool USING (product_id)
WHERE dataset = %(dataset)s
