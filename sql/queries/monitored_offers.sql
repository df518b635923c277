-- What was known of each offer between two moments before its price was set, where anything was. Of many, all of every
-- so many-th user.
SELECT attributes
FROM data.offers
WHERE dataset = %(dataset)s AND offered_at >= %(since)s AND offered_at < %(until)s AND attributes IS NOT NULL
  AND (hashtext(user_id) & 2147483647) %% %(every)s = 0
