-- The terms of the live book, where the model of this training run priced it.
SELECT books.book_id, books.dataset, books.policy, books.currency, books.terms
FROM pricing.live
JOIN pricing.books USING (book_id)
WHERE books.run_id = %(run_id)s
