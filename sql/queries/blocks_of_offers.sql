-- The first user of every block of so many users who were offered something.
SELECT user_id
FROM (
    SELECT user_id, row_number() OVER (ORDER BY user_id) - 1 AS place
    FROM (SELECT DISTINCT user_id FROM data.offers WHERE dataset = %(dataset)s) AS offered
) AS numbered
WHERE place %% %(users)s = 0
ORDER BY user_id
