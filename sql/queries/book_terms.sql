-- Under which terms a book was priced.
SELECT dataset, policy, currency FROM pricing.books WHERE book_id = %(book_id)s
