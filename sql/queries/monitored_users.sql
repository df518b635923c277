-- The attributes of users who were quoted or offered a price between two moments; each user once. Of many, every so
-- many-th.
SELECT users.attributes
FROM (
    SELECT user_id FROM pricing.quotes JOIN pricing.books USING (book_id)
    WHERE dataset = %(dataset)s AND quoted_at >= %(since)s AND quoted_at < %(until)s
    UNION
    SELECT user_id FROM data.offers
    WHERE dataset = %(dataset)s AND offered_at >= %(since)s AND offered_at < %(until)s
) AS asked
JOIN data.users ON users.dataset = %(dataset)s AND users.user_id = asked.user_id
WHERE users.attributes IS NOT NULL AND (hashtext(users.user_id) & 2147483647) %% %(every)s = 0
