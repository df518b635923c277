SELECT DISTINCT decision.product_id
FROM decision
LEFT JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = decision.product_id
WHERE products.product_id IS NULL
ORDER BY decision.product_id
