-- Take the oldest waiting users out of the queue, or pairs that the market touched. Another worker's entries are
-- skipped, and so is a user whom another one is pricing: two prices of one pair are never made side by side.
WITH waiting AS MATERIALIZED (
    SELECT entry_id, user_id, product_id, queued_at
    FROM pricing.reprice_queue
    WHERE user_id IS NOT NULL AND (product_id IS NOT NULL) = %(pairs)s
    ORDER BY entry_id
    LIMIT %(entries)s
    FOR UPDATE SKIP LOCKED
),
claimed AS MATERIALIZED (
    SELECT user_id
    FROM (SELECT DISTINCT user_id FROM waiting) AS asked
    WHERE pg_try_advisory_xact_lock(hashtextextended(user_id, 0))
)
DELETE FROM pricing.reprice_queue AS queue
USING waiting
JOIN claimed USING (user_id)
WHERE queue.entry_id = waiting.entry_id
RETURNING waiting.user_id, waiting.product_id, waiting.queued_at
