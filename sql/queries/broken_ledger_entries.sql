-- Ledger entries whose own hash, link to the entry before, or number is not as it should be.
WITH chained AS (
    SELECT ledger AS entry, lag(hash, 1, 'genesis') OVER (ORDER BY entry_id) AS hash_before,
           row_number() OVER (ORDER BY entry_id) AS expected_id
    FROM pricing.ledger
)
SELECT (entry).entry_id,
       CASE WHEN (entry).entry_id <> expected_id THEN 'an entry before it is missing'
            WHEN (entry).previous_hash <> hash_before THEN 'it does not follow the entry before it'
            ELSE 'its content was changed' END AS problem
FROM chained
WHERE (entry).entry_id <> expected_id
   OR (entry).previous_hash <> hash_before
   OR (entry).hash <> pricing.ledger_hash(entry)
ORDER BY expected_id
