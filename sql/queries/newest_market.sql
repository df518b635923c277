-- The newest time that the source gave.
SELECT max(observed_at) AS newest FROM data.market WHERE dataset = %(dataset)s
