-- The newest time in a dataset.
SELECT greatest(
    (SELECT max(occurred_at) FROM data.behaviour WHERE dataset = %(dataset)s),
    (SELECT max(observed_at) FROM data.market WHERE dataset = %(dataset)s),
    (SELECT max(offered_at) FROM data.offers WHERE dataset = %(dataset)s)
)
