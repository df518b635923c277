-- Some products of a book for nobody in particular, as of the newest that is known of their market, from the pool that
-- sells now. Where none does (the data end long ago), it is the book's.
INSERT INTO decision (decision_id, user_id, product_id, decided_at, pool_id)
SELECT uniform.product_id, '', uniform.product_id,
       greatest(%(as_of)s, (SELECT max(observed_at) FROM data.market
                            WHERE market.dataset = %(dataset)s AND market.product_id = uniform.product_id
                              AND observed_at <= statement_timestamp())) + interval '1 microsecond',
       coalesce(selling.pool_id, uniform.pool_id)
FROM pricing.uniform_prices AS uniform
LEFT JOIN pricing.selling_pools(%(dataset)s, statement_timestamp()) AS selling USING (product_id)
WHERE uniform.book_id = %(book_id)s AND uniform.product_id = ANY (%(products)s)
