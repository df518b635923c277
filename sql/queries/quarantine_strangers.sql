-- Rows that wait in quarantine only for a user or product, and now find it, are tried again.
UPDATE pricing.quarantine SET released = true
WHERE dataset = %(dataset)s AND table_name = %(table)s AND rule = ANY(%(rules)s) AND NOT released AND {found}
