-- A staged book, whole and certified, now awaits approval: of exactly the prices that it has now.
UPDATE pricing.books
SET state = 'in_review', approval = %(approval)s, review_until = now() + %(patience)s,
    personal_rows = %(personal_rows)s, uniform_rows = %(uniform_rows)s, certificate = %(certificate)s,
    content_hash = pricing.book_content_hash(%(book_id)s)
WHERE book_id = %(book_id)s
RETURNING review_until
