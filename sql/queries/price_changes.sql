-- How the personal prices of a staged book differ from what the same users are quoted for the same products now:
-- over all of them (segment null), by product category, and by whether the user has a personal price already.
WITH compared AS (
    SELECT coalesce(products.category, 'no category') AS category,
           CASE WHEN live_uniform.product_id IS NULL THEN 'nothing quoted yet'
                WHEN live_uniform.price IS NULL OR live.has_expired THEN 'quoted the list price now'
                WHEN live_personal.price IS NULL THEN 'quoted the uniform price now'
                ELSE 'quoted a personal price now' END AS quoted,
           staged.price::double precision
               / nullif(CASE WHEN live_uniform.product_id IS NULL THEN NULL
                             WHEN live_uniform.price IS NULL OR live.has_expired
                             THEN least(greatest(products.list_price, products.floor), products.ceiling)
                             ELSE coalesce(live_personal.price, live_uniform.price)::double precision END, 0) - 1
               AS change
    FROM {personal} AS staged
    JOIN data.products ON products.dataset = %(dataset)s AND products.product_id = staged.product_id
    LEFT JOIN (
        SELECT book_id, coalesce(books.expires_at <= now(), false) AS has_expired
        FROM pricing.live JOIN pricing.books USING (book_id) WHERE books.dataset = %(dataset)s
    ) AS live ON true
    LEFT JOIN pricing.current_uniform AS live_uniform
      ON live_uniform.book_id = live.book_id AND live_uniform.product_id = staged.product_id
    LEFT JOIN pricing.quoted_personal AS live_personal
      ON live_personal.book_id = live.book_id AND live_personal.user_id = staged.user_id
     AND live_personal.product_id = staged.product_id
)
SELECT coalesce(category, quoted) AS segment, count(*) AS prices, count(change) AS compared,
       avg((change > 0)::integer) FILTER (WHERE change IS NOT NULL) AS share_up,
       avg((change < 0)::integer) FILTER (WHERE change IS NOT NULL) AS share_down,
       avg(change) FILTER (WHERE change > 0) AS mean_rise, avg(change) FILTER (WHERE change < 0) AS mean_fall,
       avg(change) AS mean_change
FROM compared
GROUP BY GROUPING SETS ((), (quoted), (category))
ORDER BY grouping(category, quoted) DESC, prices DESC, segment
LIMIT 30
