SELECT pricing.publish_book(%(book_id)s, %(certificate)s::jsonb, %(lifetime)s)
