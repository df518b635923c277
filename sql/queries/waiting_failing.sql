-- Each rule that rows of the source broke, with how many and the first of them; the most broken first.
SELECT rule, count(*), (array_agg(row_number ORDER BY row_number))[1:100], min(origin)
FROM {waiting}
WHERE rule IS NOT NULL AND quarantine_id IS NULL AND origin <> ALL(%(recorded)s)
GROUP BY rule
ORDER BY count(*) DESC, rule
