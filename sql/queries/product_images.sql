-- The images of these products, as bytes.
SELECT product_id, image
FROM data.products
WHERE dataset = %(dataset)s AND product_id = ANY(%(product_ids)s) AND image IS NOT NULL
