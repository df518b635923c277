-- The newest book made from the same inputs, if its prices are still there and quoted.
SELECT book_id
FROM pricing.books
WHERE inputs_hash = %(inputs_hash)s AND state = 'published' AND coalesce(expires_at > now(), true)
ORDER BY book_id DESC
LIMIT 1
