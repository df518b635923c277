-- A released row that does not fit its table goes back, with what is wrong now.
UPDATE pricing.quarantine SET released = false, rule = %(rule)s WHERE quarantine_id = %(quarantine_id)s
