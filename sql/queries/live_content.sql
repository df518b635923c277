-- The live book: the hash the ledger recorded when it last went live, and the hash of its prices now.
SELECT live.book_id, last.details ->> 'content_hash' AS recorded_hash,
       pricing.book_content_hash(live.book_id) AS content_hash
FROM pricing.live
LEFT JOIN LATERAL (
    SELECT details FROM pricing.ledger WHERE ledger.book_id = live.book_id ORDER BY entry_id DESC LIMIT 1
) AS last ON true
