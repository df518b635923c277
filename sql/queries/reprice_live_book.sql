-- The live book as later prices continue it, while it is quoted. It stays live until the transaction ends.
SELECT books.book_id, books.dataset, books.model_version, books.policy, books.currency, books.terms,
       snapshots.snapshot_id, snapshots.as_of, snapshots.row_counts
FROM pricing.live
JOIN pricing.books USING (book_id)
JOIN data.snapshots USING (snapshot_id)
WHERE books.expires_at > now()
