-- How many events of a user are newer than a moment, in the tables or still to be collected from the storefront.
SELECT (SELECT count(*) FROM data.behaviour
        WHERE dataset = %(dataset)s AND user_id = %(user_id)s AND occurred_at > %(moment)s)
     + (SELECT count(*) FROM pricing.events
        WHERE dataset = %(dataset)s AND user_id = %(user_id)s AND occurred_at > %(moment)s AND NOT collected) AS events
