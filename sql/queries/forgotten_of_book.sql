-- How many users a book has prices of who are in no table any more.
SELECT count(DISTINCT personal.user_id) AS users
FROM pricing.personal_prices AS personal
JOIN pricing.books USING (book_id)
WHERE book_id = %(book_id)s
  AND NOT EXISTS (SELECT FROM data.users WHERE users.dataset = books.dataset AND users.user_id = personal.user_id)
