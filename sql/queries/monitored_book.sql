-- The live book, what it promises by, how much of its life is over and how long the oldest entry of the queue has
-- waited.
SELECT books.book_id, books.dataset, books.model_version, books.policy, books.currency, snapshots.as_of,
       (extract(epoch FROM %(now)s - books.published_at)
        / extract(epoch FROM books.expires_at - books.published_at))::double precision AS life_spent,
       coalesce((SELECT extract(epoch FROM %(now)s - min(queued_at)) FROM pricing.reprice_queue), 0)::double precision
           AS queue_seconds
FROM pricing.live
JOIN pricing.books USING (book_id)
JOIN data.snapshots USING (snapshot_id)
