-- Take every waiting product out of the queue, except what another worker has taken.
DELETE FROM pricing.reprice_queue
WHERE entry_id IN (SELECT entry_id FROM pricing.reprice_queue WHERE user_id IS NULL FOR UPDATE SKIP LOCKED)
RETURNING product_id, queued_at
