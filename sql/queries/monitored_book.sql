-- The live book, what it promises by, how much of its life is over, how long the oldest entry of the queue has waited,
-- and how old the data are: those its model learnt from (the snapshot of the first book by that version), and the first
-- that were as new as the newest now.
SELECT books.book_id, books.dataset, books.model_version, books.policy, books.currency, learnt.as_of,
       (extract(epoch FROM %(now)s - books.published_at)
        / extract(epoch FROM books.expires_at - books.published_at))::double precision AS life_spent,
       coalesce((SELECT extract(epoch FROM %(now)s - min(queued_at)) FROM pricing.reprice_queue), 0)::double precision
           AS queue_seconds,
       (extract(epoch FROM %(now)s - learnt.created_at) / 86400)::double precision AS model_days,
       (extract(epoch FROM %(now)s - newest.created_at) / 86400)::double precision AS data_days, newest.as_of AS newest_row
FROM pricing.live
JOIN pricing.books USING (book_id)
JOIN LATERAL (
    SELECT snapshots.as_of, snapshots.created_at
    FROM pricing.books AS by_version JOIN data.snapshots USING (snapshot_id)
    WHERE by_version.dataset = books.dataset AND by_version.model_name = books.model_name
      AND by_version.model_version = books.model_version AND by_version.published_at IS NOT NULL
    ORDER BY by_version.published_at
    LIMIT 1
) AS learnt ON true
JOIN LATERAL (
    SELECT as_of, created_at FROM data.snapshots
    WHERE dataset = books.dataset
    ORDER BY as_of DESC, created_at
    LIMIT 1
) AS newest ON true
