-- Loads whose waiting tables a newer merged load makes pointless.
SELECT load_id FROM data.loads
WHERE dataset = %(dataset)s AND load_id < %(load_id)s AND state <> 'merged'
