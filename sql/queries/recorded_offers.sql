-- Quotes to known users whose outcome is known, as offers of the data contract. A quote asks for one unit; how many were
-- bought is told afterwards and is no quantity at stake, by which a sale would count more in the evidence than what was
-- not sold. It stays in pricing.outcomes, where pricing.units_sold finds it. A quote that a crash lost has no density: a
-- price that was seen, drawn or not.
SELECT quote_id::text AS offer_id, quotes.user_id, quotes.product_id, quoted_at AS offered_at, quotes.price::double precision,
       outcomes.purchased, quotes.list_price::double precision, quotes.unit_cost, quotes.floor, quotes.ceiling,
       quotes.pool_id, quotes.randomised, quotes.propensity
FROM pricing.outcomes
JOIN pricing.quotes USING (quote_id)
JOIN pricing.books USING (book_id)
JOIN data.users ON users.dataset = books.dataset AND users.user_id = quotes.user_id
WHERE books.dataset = %(dataset)s AND NOT outcomes.collected AND quoted_at <= coalesce(%(until)s::timestamptz, 'infinity')
ORDER BY quoted_at
