-- Rows to validate again.
SELECT quarantine_id, origin, row_number, "row" FROM pricing.quarantine
WHERE dataset = %(dataset)s AND table_name = %(table)s AND released
ORDER BY quarantine_id
