-- As in sql/functions: where search_path does not name pg_temp, the caller's own temporary types are found first.
ALTER FUNCTION pricing.refuse_change() SET search_path = pg_catalog, pg_temp;

-- Events longer than collection takes them were recorded until now; one of them stops every collection.
UPDATE pricing.events SET collected = true
WHERE NOT collected AND (length(user_id) > 256 OR length(product_id) > 256);

-- Of a book that has expired no price is quoted.
CREATE OR REPLACE VIEW pricing.live_prices AS
SELECT personal.user_id, personal.product_id, personal.price, uniform.price AS uniform_price, uniform.list_price,
       books.currency, personal.lower, personal.upper, personal.purchase_probability, personal.elasticity,
       personal.reasons, personal.randomised, personal.propensity, personal.book_id,
       personal.repriced_at
FROM pricing.current_personal AS personal
JOIN pricing.books USING (book_id)
JOIN pricing.current_uniform AS uniform USING (book_id, product_id)
WHERE personal.price IS NOT NULL AND uniform.price IS NOT NULL
  AND coalesce(books.expires_at > now(), true);
