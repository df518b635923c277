-- The newest book made from the same inputs, if its prices are still there, and whether it has expired or is about to.
SELECT book_id, expires_at <= now() AS has_expired, expires_at <= now() + %(renewal)s AS expires_soon
FROM pricing.books
WHERE inputs_hash = %(inputs_hash)s AND state = 'published'
ORDER BY book_id DESC
LIMIT 1
