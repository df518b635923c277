SELECT pricing.submit_book(%(book_id)s, %(certificate)s::jsonb, %(approval)s, %(patience)s) AS review_until
