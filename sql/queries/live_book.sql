SELECT books.book_id, books.model_version
FROM pricing.live
JOIN pricing.books USING (book_id)
