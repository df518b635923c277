-- Books whose prices are no longer needed: published ones beyond the newest kept (the live one and the one that a
-- rollback returns to apart), and what runs that died left staged.
(
    SELECT book_id
    FROM pricing.books
    WHERE state = 'published'
      AND book_id <> ALL(%(needed)s)
    ORDER BY book_id DESC
    OFFSET %(kept)s
)
UNION ALL
SELECT book_id
FROM pricing.books
WHERE state = 'staged' AND staged_at < now() - interval '1 day'
   OR state = 'in_review' AND review_until < now() - interval '1 day'
