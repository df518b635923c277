-- As in sql/functions: where search_path does not name pg_temp, the caller's own temporary types are found first.
ALTER FUNCTION pricing.refuse_change() SET search_path = pg_catalog, pg_temp;

-- Events longer than collection takes them were recorded until now; one of them stops every collection.
UPDATE pricing.events SET collected = true
WHERE NOT collected AND (length(user_id) > 256 OR length(product_id) > 256);
