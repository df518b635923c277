-- Between which prices each of these quotes was held.
SELECT quote_id::text AS decision_id, lower::double precision AS held_lower, upper::double precision AS held_upper
FROM pricing.quotes
WHERE quote_id = ANY(%(quotes)s::uuid[])
