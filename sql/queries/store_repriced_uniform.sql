-- Serve the uniform prices of products that have just been decided, in place of earlier ones of the same products, which
-- are kept for the personal prices that were set beside them.
WITH superseded AS (
    INSERT INTO pricing.superseded_uniform
    SELECT earlier.* FROM pricing.repriced_uniform AS earlier JOIN repriced USING (book_id, product_id)
)
INSERT INTO pricing.repriced_uniform SELECT * FROM repriced
ON CONFLICT (book_id, product_id) DO UPDATE SET
    price = excluded.price, lower = excluded.lower, upper = excluded.upper, list_price = excluded.list_price,
    reasons = excluded.reasons, sensitivity = excluded.sensitivity, valuation = excluded.valuation,
    live_price = excluded.live_price, unit_cost = excluded.unit_cost, floor = excluded.floor,
    ceiling = excluded.ceiling, pool_id = excluded.pool_id, decided_at = excluded.decided_at,
    repriced_at = excluded.repriced_at, bid_price = excluded.bid_price,
    personal_lower = excluded.personal_lower, personal_upper = excluded.personal_upper
