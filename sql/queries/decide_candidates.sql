-- One block of users' candidate prices, to be decided as of one moment.
INSERT INTO decision (decision_id, user_id, product_id, decided_at)
SELECT (row_number() OVER ())::text, user_id, product_id, %(decided_at)s
FROM candidate
WHERE user_number >= %(first_user)s AND user_number < %(first_user)s + %(users)s
