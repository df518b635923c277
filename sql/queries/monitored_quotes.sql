-- Personal prices the model quoted between two moments, what it expected of each, and what became of it. Of many,
-- all quotes of every so many-th user.
SELECT quoted_at, quotes.user_id, product_id, price::double precision, list_price::double precision,
       uniform_price::double precision, lower::double precision, upper::double precision, randomised,
       unit_cost, sensitivity, valuation, purchased, quantity
FROM pricing.quotes
LEFT JOIN pricing.outcomes USING (quote_id)
WHERE source = 'personal' AND model_version = %(model_version)s
  AND quoted_at >= %(since)s AND quoted_at < %(until)s
  AND (hashtext(quotes.user_id) & 2147483647) %% %(every)s = 0
