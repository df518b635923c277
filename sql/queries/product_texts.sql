-- What there is to read of these products: title and description as one text, and which image.
SELECT product_id, nullif(concat_ws('. ', nullif(title, ''), nullif(description, '')), '') AS text,
       encode(image_sha256, 'hex') AS image
FROM data.products
WHERE dataset = %(dataset)s AND product_id = ANY(%(product_ids)s)
  AND (title <> '' OR description <> '' OR image_sha256 IS NOT NULL)
ORDER BY product_id
