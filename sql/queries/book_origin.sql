-- What a book was priced from: its terms, its snapshot, and the book that was live meanwhile.
SELECT books.book_id, books.model_version, books.policy, books.terms, books.expires_at,
       snapshots.snapshot_id, snapshots.dataset, snapshots.currency, snapshots.row_counts, snapshots.as_of,
       (SELECT ledger.book_id FROM pricing.ledger
        WHERE ledger.recorded_at <= books.staged_at ORDER BY entry_id DESC LIMIT 1) AS book_before
FROM pricing.books
JOIN data.snapshots USING (snapshot_id)
WHERE books.book_id = %(book_id)s
