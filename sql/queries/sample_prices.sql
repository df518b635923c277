-- A few live prices to show a person: the products most often priced, each for one user whose price
-- differs, and not by chance where that can be.
SELECT DISTINCT ON (product_id) user_id, pricing.stored_user_id(user_id) <> user_id AS is_pseudonym, product_id,
       price, uniform_price, list_price, purchase_probability, reasons
FROM pricing.live_prices
WHERE product_id IN (
    SELECT product_id FROM pricing.live_prices GROUP BY product_id ORDER BY count(*) DESC, product_id LIMIT 5
)
ORDER BY product_id, 'explored' = ANY(reasons), (price <> uniform_price) DESC, purchase_probability DESC, user_id
