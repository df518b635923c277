-- Serve the prices of pairs that have just been decided, in place of earlier ones of the same pairs. Those are updated
-- where they lie, without touching the index.
INSERT INTO pricing.repriced_personal SELECT * FROM repriced
ON CONFLICT (book_id, user_id, product_id) DO UPDATE SET
    price = excluded.price, lower = excluded.lower, upper = excluded.upper, reasons = excluded.reasons,
    purchase_probability = excluded.purchase_probability, elasticity = excluded.elasticity,
    randomised = excluded.randomised, propensity = excluded.propensity, sensitivity = excluded.sensitivity,
    valuation = excluded.valuation, live_price = excluded.live_price, live_propensity = excluded.live_propensity,
    decided_at = excluded.decided_at, repriced_at = excluded.repriced_at,
    uniform_repriced_at = excluded.uniform_repriced_at
