-- Pairs that were first met while their product was being priced anew have missed it: they are queued once more.
INSERT INTO pricing.reprice_queue (user_id, product_id)
SELECT user_id, product_id
FROM pricing.live
JOIN pricing.repriced_personal AS personal USING (book_id)
JOIN pricing.repriced_uniform AS uniform USING (book_id, product_id)
WHERE personal.price IS NOT NULL AND personal.uniform_repriced_at IS DISTINCT FROM uniform.repriced_at
  AND (%(since)s::timestamptz IS NULL OR uniform.repriced_at > %(since)s)
