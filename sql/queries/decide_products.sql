-- Every product as a decision for nobody in particular: what the uniform price is set from.
INSERT INTO decision (decision_id, user_id, product_id, decided_at)
SELECT product_id, '', product_id, %(decided_at)s
FROM data.products
WHERE dataset = %(dataset)s
