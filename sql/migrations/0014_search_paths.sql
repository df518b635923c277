-- As in sql/functions: where search_path does not name pg_temp, the caller's own temporary types are found first.
ALTER FUNCTION pricing.refuse_change() SET search_path = pg_catalog, pg_temp;
