-- Between which prices each of these quotes' prices was drawn, and from which prices its steps were counted. Repricing
-- keeps a draw of the same day, whose interval is the one that the book has; where the book itself has kept it from
-- another, or is dropped, it is not known any more.
SELECT quote_id::text AS decision_id,
       CASE WHEN is_kept THEN drawn.lower ELSE quotes.lower END::double precision AS held_lower,
       CASE WHEN is_kept THEN drawn.upper ELSE quotes.upper END::double precision AS held_upper,
       CASE WHEN is_kept THEN drawn.live_price ELSE quotes.live_price END::double precision
           AS held_live_price,
       quotes.live_uniform_price AS held_live_uniform_price
FROM pricing.quotes
CROSS JOIN LATERAL (SELECT quotes.randomised AND quotes.live_propensity IS NOT NULL AS is_kept) AS kept
LEFT JOIN pricing.personal_prices AS drawn
  ON is_kept AND drawn.book_id = quotes.book_id AND drawn.user_id = quotes.user_id
 AND drawn.product_id = quotes.product_id AND drawn.live_propensity IS NULL
WHERE quote_id = ANY(%(quotes)s::uuid[]) AND source = 'personal'
