-- The live book in figures, averaged over personal prices.
SELECT books.book_id, books.dataset, books.currency, books.personal_rows, books.uniform_rows, books.model_version,
       books.snapshot_id, count(DISTINCT personal.user_id) AS users, count(DISTINCT personal.product_id) AS products,
       (avg(personal.price / uniform.list_price) - 1)::double precision AS mean_change_from_list,
       (avg((personal.price < uniform.price)::integer))::double precision AS share_below_uniform,
       (avg((personal.price > uniform.price)::integer))::double precision AS share_above_uniform,
       (avg(personal.randomised::integer))::double precision AS share_explored
FROM pricing.live
JOIN pricing.books USING (book_id)
JOIN pricing.personal_prices AS personal USING (book_id)
JOIN pricing.uniform_prices AS uniform USING (book_id, product_id)
GROUP BY books.book_id
