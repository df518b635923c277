-- Prices of a staged book that break a guardrail of its policy, counted by rule straight from the tables:
-- an answer that owes nothing to the code that set the prices. A step counts from what the live book quotes, and from
-- nothing once it has expired. Where that has been priced anew since the book was published, the product's price or the
-- pair's, it may have been so again meanwhile, and the row itself says what it was then.
WITH priced AS (
    SELECT user_id, product_id, price, live_price FROM {personal}
    UNION ALL
    SELECT NULL, product_id, price, live_price FROM {uniform}
),
compared AS (
    SELECT priced.user_id, priced.price::double precision AS price, uniform.price::double precision AS uniform_price,
           CASE WHEN repriced.book_id IS NOT NULL OR repriced_uniform.book_id IS NOT NULL THEN priced.live_price
                ELSE coalesce(live_personal.price, live_uniform.price)::double precision END AS live_price,
           products.list_price, products.unit_cost, products.floor, products.ceiling
    FROM priced
    JOIN {uniform} AS uniform USING (product_id)
    JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = priced.product_id
    LEFT JOIN (
        SELECT book_id FROM pricing.live JOIN pricing.books USING (book_id)
        WHERE books.dataset = %(dataset)s AND coalesce(books.expires_at > now(), true)
    ) AS live ON true
    LEFT JOIN pricing.uniform_prices AS live_uniform
      ON live_uniform.book_id = live.book_id AND live_uniform.product_id = priced.product_id
    LEFT JOIN pricing.repriced_uniform
      ON repriced_uniform.book_id = live.book_id AND repriced_uniform.product_id = priced.product_id
    LEFT JOIN pricing.personal_prices AS live_personal
      ON live_personal.book_id = live.book_id AND live_personal.user_id = priced.user_id
     AND live_personal.product_id = priced.product_id
    LEFT JOIN pricing.repriced_personal AS repriced
      ON repriced.book_id = live.book_id AND repriced.user_id = priced.user_id
     AND repriced.product_id = priced.product_id
)
SELECT count(*) AS prices,
       count(*) FILTER (WHERE price < floor OR price > ceiling) AS bounds,
       count(*) FILTER (WHERE price < unit_cost * (1 + %(minimum_margin)s) * (1 - 1e-12)) AS minimum_margin,
       count(*) FILTER (WHERE price > list_price * (1 + %(maximum_markup)s) * (1 + 1e-12)) AS maximum_markup,
       count(*) FILTER (WHERE price < list_price * (1 - %(maximum_discount)s) * (1 - 1e-12)) AS maximum_discount,
       count(*) FILTER (WHERE abs(price - live_price) > live_price * %(maximum_step)s * (1 + 1e-9)) AS maximum_step,
       count(*) FILTER (WHERE NOT %(above_uniform)s AND price > uniform_price) AS above_uniform
FROM compared
