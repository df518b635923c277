-- What is wrong with the ledger: entries whose own hash, link to the entry before, or number is not as it should be;
-- books that are no longer what their entry says, or have none; and a last entry that is not the one the live book came
-- with.
WITH chained AS (
    SELECT ledger AS entry, lag(hash, 1, 'genesis') OVER (ORDER BY entry_id) AS hash_before,
           row_number() OVER (ORDER BY entry_id) AS expected_id
    FROM pricing.ledger
)
SELECT (entry).entry_id,
       CASE WHEN (entry).entry_id <> expected_id THEN 'an entry before it is missing'
            WHEN (entry).previous_hash <> hash_before THEN 'it does not follow the entry before it'
            ELSE 'its content was changed' END AS problem
FROM chained
WHERE (entry).entry_id <> expected_id
   OR (entry).previous_hash <> hash_before
   OR (entry).hash <> pricing.ledger_hash(entry)
UNION ALL
SELECT entry_id, format('row %s of pricing.books is not what it recorded', ledger.book_id)
FROM pricing.ledger
LEFT JOIN pricing.books USING (book_id)
WHERE EXISTS (
    SELECT FROM jsonb_each(ledger.details - 'replaced_book_id') AS recorded
    WHERE pricing.ledger_details(books) -> recorded.key IS DISTINCT FROM recorded.value
)
UNION ALL
SELECT coalesce(last.entry_id, 0), 'the live book came with a later entry, which is missing'
FROM pricing.live
LEFT JOIN (SELECT * FROM pricing.ledger ORDER BY entry_id DESC LIMIT 1) AS last ON true
WHERE last.hash IS DISTINCT FROM live.ledger_hash OR last.book_id IS DISTINCT FROM live.book_id
UNION ALL
SELECT NULL, format('none of its entries is of book %s, which is published', books.book_id)
FROM pricing.books
WHERE state = 'published' AND NOT EXISTS (SELECT FROM pricing.ledger WHERE ledger.book_id = books.book_id)
UNION ALL
SELECT last.entry_id, 'it says that a book went live, and none is'
FROM (SELECT * FROM pricing.ledger ORDER BY entry_id DESC LIMIT 1) AS last
WHERE NOT EXISTS (SELECT FROM pricing.live)
ORDER BY 1 NULLS LAST, 2
