-- Products whose pool has ended, or before which another has begun to sell: nothing changes in a table when it does.
WITH live AS (SELECT dataset FROM pricing.live JOIN pricing.books USING (book_id))
INSERT INTO pricing.reprice_queue (product_id)
SELECT product_id
FROM pricing.current_uniform AS uniform
JOIN pricing.selling_pools((SELECT dataset FROM live), statement_timestamp()) AS selling USING (product_id)
WHERE selling.pool_id IS DISTINCT FROM uniform.pool_id
