UPDATE pricing.books
SET state = 'published', published_at = now(), expires_at = now() + %(lifetime)s,
    personal_rows = %(personal_rows)s, uniform_rows = %(uniform_rows)s, certificate = %(certificate)s,
    content_hash = pricing.book_content_hash(%(book_id)s)
WHERE book_id = %(book_id)s
