-- How many of the passing rows a dataset has.
SELECT count(*) FROM {waiting} JOIN {table} USING ({key}) WHERE rule IS NULL AND dataset = %(dataset)s
