-- A list price is what every price is a share of: without one its product, and whoever waits beside it, could not be
-- priced. Validation quarantines such rows; who writes past it is refused.
ALTER TABLE data.products
    ADD CONSTRAINT list_price_above_0 CHECK (list_price > 0 AND list_price < 'Infinity') NOT VALID;

-- It takes an event's own id as well.
DROP FUNCTION IF EXISTS pricing.record_event(text, text, text, text, double precision, timestamptz);
