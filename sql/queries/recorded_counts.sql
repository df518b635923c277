-- How much was ever recorded of a dataset, to know whether something was since; and how much of it is too far from the
-- rest of the dataset to be put on one timeline with it. The newest moment tells what was forgotten and recorded since
-- from what stood there in the same number before.
SELECT events.total + outcomes.total AS total, events.late + outcomes.late AS late,
       extract(epoch FROM greatest(events.newest, outcomes.newest)) AS newest
FROM (
    SELECT count(*) AS total, count(*) FILTER (WHERE NOT collected AND occurred_at > %(until)s::timestamptz) AS late,
           max(occurred_at) FILTER (WHERE collected OR coalesce(occurred_at <= %(until)s::timestamptz, true)) AS newest
    FROM pricing.events WHERE dataset = %(dataset)s
) AS events,
(
    SELECT count(*) AS total, count(*) FILTER (WHERE NOT collected AND quoted_at > %(until)s::timestamptz) AS late,
           max(recorded_at) FILTER (WHERE collected OR coalesce(quoted_at <= %(until)s::timestamptz, true)) AS newest
    FROM pricing.outcomes JOIN pricing.quotes USING (quote_id) JOIN pricing.books USING (book_id)
    WHERE books.dataset = %(dataset)s
) AS outcomes
