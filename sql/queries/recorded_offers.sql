-- Quotes to known users whose outcome is known, as offers of the data contract.
SELECT quote_id::text AS offer_id, quotes.user_id, quotes.product_id, quoted_at AS offered_at, quotes.price::double precision,
       outcomes.purchased, quotes.list_price::double precision, (priced_from ->> 'unit_cost')::double precision AS unit_cost,
       (priced_from ->> 'floor')::double precision AS floor, (priced_from ->> 'ceiling')::double precision AS ceiling,
       outcomes.quantity, priced_from ->> 'pool_id' AS pool_id, quotes.randomised, quotes.propensity
FROM pricing.outcomes
JOIN pricing.quotes USING (quote_id)
JOIN pricing.books USING (book_id)
JOIN data.users ON users.dataset = books.dataset AND users.user_id = quotes.user_id
WHERE books.dataset = %(dataset)s AND NOT outcomes.collected AND quoted_at <= coalesce(%(until)s::timestamptz, 'infinity')
ORDER BY quoted_at
