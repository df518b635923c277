-- Under which terms a book was priced.
SELECT book_id, dataset, policy, currency, terms FROM pricing.books WHERE book_id = %(book_id)s
