-- Keys that stand in more than one row, with all their rows; the first in the file first.
WITH twice AS (SELECT {key} FROM {waiting} GROUP BY {key} HAVING count(*) > 1)
SELECT min(origin), array_agg(row_number ORDER BY row_number) AS rows, {key}
FROM {waiting}
JOIN twice USING ({key})
GROUP BY {key}
ORDER BY rows
LIMIT 100
