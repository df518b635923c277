-- What a person wants to know first of a book that is live.
SELECT dataset, currency, personal_rows, uniform_rows, approver, snapshot_id, cold_start,
       published_at AT TIME ZONE 'UTC' AS published_at, expires_at AT TIME ZONE 'UTC' AS expires_at
FROM pricing.books
WHERE book_id = %(book_id)s
