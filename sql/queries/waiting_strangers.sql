-- Rows that pass until here but refer to what is not there.
UPDATE {waiting} SET rule = %(rule)s
WHERE rule IS NULL AND {column} IS NOT NULL AND NOT EXISTS (SELECT FROM {known} WHERE id = {waiting}.{column})
