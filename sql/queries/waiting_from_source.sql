-- How many rows the source gave: what a storefront recorded and what quarantine released apart.
SELECT count(*) FROM {waiting} WHERE quarantine_id IS NULL AND origin <> ALL(%(recorded)s)
