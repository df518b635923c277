SELECT books.book_id, books.model_version, books.cold_start
FROM pricing.live
JOIN pricing.books USING (book_id)
