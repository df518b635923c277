-- What was tried again leaves the quarantine, and so does what has arrived repaired; what failed comes back next.
DELETE FROM pricing.quarantine
WHERE dataset = %(dataset)s AND table_name = %(table)s
  AND (quarantine_id = ANY(%(tried)s) OR row_key IN (SELECT {row_key} FROM {waiting} WHERE rule IS NULL))
