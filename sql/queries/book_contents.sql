-- The live book, and the one before it while its prices are kept: the hash the ledger recorded when the book last went
-- live, and the hash of its prices now.
SELECT books.book_id, live.book_id IS NOT NULL AS is_live, last.details ->> 'content_hash' AS recorded_hash,
       pricing.book_content_hash(books.book_id) AS content_hash
FROM pricing.books
LEFT JOIN pricing.live USING (book_id)
LEFT JOIN LATERAL (
    SELECT details FROM pricing.ledger WHERE ledger.book_id = books.book_id ORDER BY entry_id DESC LIMIT 1
) AS last ON true
WHERE books.book_id = ANY (%(standing)s) AND books.state = 'published'
ORDER BY is_live DESC
