-- What a user can be shown with a live price: the products of their personal prices, or, for who has none, all
-- products at their uniform prices; of a book that has expired, all products at their list prices, as they are quoted.
-- With what says how likely and how profitable a purchase is.
WITH book AS (
    SELECT books.book_id, books.dataset, books.currency,
           (books.policy ->> 'satisfaction_weight')::double precision AS weight,
           coalesce(books.expires_at <= now(), false) AS has_expired
    FROM pricing.live JOIN pricing.books USING (book_id)
),
personal AS (
    SELECT prices.product_id, prices.price, prices.sensitivity, prices.valuation
    FROM pricing.quoted_personal AS prices
    JOIN book USING (book_id)
    JOIN data.users ON users.dataset = book.dataset AND users.user_id = prices.user_id
    WHERE prices.user_id = pricing.stored_user_id(%(user_id)s)
      AND coalesce(users.personalisation_consent, true) AND NOT book.has_expired
)
SELECT uniform.product_id, products.title, book.currency, book.weight AS satisfaction_weight,
       CASE WHEN book.has_expired THEN least(greatest(products.list_price, products.floor), products.ceiling)
            ELSE coalesce(personal.price, uniform.price)::double precision END AS price,
       CASE WHEN book.has_expired THEN products.list_price
            ELSE uniform.list_price::double precision END AS list_price, uniform.unit_cost,
       coalesce(personal.sensitivity, uniform.sensitivity) AS sensitivity,
       coalesce(personal.valuation, uniform.valuation) AS valuation,
       CASE WHEN book.has_expired THEN 'list'
            WHEN personal.product_id IS NULL THEN 'uniform' ELSE 'personal' END AS source
FROM book
JOIN pricing.current_uniform AS uniform USING (book_id)
JOIN data.products ON products.dataset = book.dataset AND products.product_id = uniform.product_id
LEFT JOIN personal ON personal.product_id = uniform.product_id
WHERE uniform.price IS NOT NULL AND (personal.product_id IS NOT NULL OR NOT EXISTS (SELECT FROM personal))
