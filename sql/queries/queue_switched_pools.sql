-- Products whose pool has ended, or before which another has begun to sell: nothing changes in a table when it does.
INSERT INTO pricing.reprice_queue (product_id)
SELECT product_id
FROM pricing.current_uniform AS uniform
JOIN pricing.books USING (book_id)
JOIN (
    SELECT dataset, product_id, min(pool_id) AS pool_id
    FROM data.inventory
    WHERE coalesce(sells_from <= statement_timestamp(), true) AND coalesce(sells_until > statement_timestamp(), true)
    GROUP BY dataset, product_id
) AS selling USING (dataset, product_id)
WHERE selling.pool_id IS DISTINCT FROM uniform.pool_id
