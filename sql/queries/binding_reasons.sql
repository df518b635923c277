-- How many personal prices of a staged book each reason holds.
SELECT reason, count(*) AS prices
FROM {personal} CROSS JOIN unnest(reasons) AS reason
GROUP BY reason
ORDER BY reason
