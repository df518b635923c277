-- Until when the live book of a dataset is quoted; no row where none is.
SELECT expires_at FROM pricing.live JOIN pricing.books USING (book_id)
WHERE dataset = %(dataset)s AND expires_at > now()
