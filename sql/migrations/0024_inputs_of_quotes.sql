-- What a quote's price was set from, each input in a column of its type: building one JSON of them was an eighth of the
-- time that a quote takes. The log is rewritten once, and who quotes waits for that.
ALTER TABLE pricing.quotes
    ADD COLUMN unit_cost double precision,            -- of the product, and the next three
    ADD COLUMN floor double precision,
    ADD COLUMN ceiling double precision,
    ADD COLUMN pool_id text,
    ADD COLUMN bid_price double precision,            -- null where it is the book's own
    ADD COLUMN uniform_sensitivity double precision,  -- b and v of the demand of somebody nothing is known of
    ADD COLUMN uniform_valuation double precision,
    ADD COLUMN live_uniform_price double precision,   -- that the uniform price's step counts from
    ADD COLUMN sensitivity double precision,          -- b and v of the user's own demand, for personal prices
    ADD COLUMN valuation double precision,
    ADD COLUMN live_price double precision,           -- that the personal price's step counts from
    ADD COLUMN live_propensity double precision,      -- of that price, where it was drawn in the same period
    ADD COLUMN repriced_as_of timestamptz;            -- of prices set between two books: what was known then
UPDATE pricing.quotes SET
    unit_cost = (priced_from ->> 'unit_cost')::double precision,
    floor = (priced_from ->> 'floor')::double precision,
    ceiling = (priced_from ->> 'ceiling')::double precision,
    pool_id = priced_from ->> 'pool_id',
    bid_price = (priced_from ->> 'bid_price')::double precision,
    uniform_sensitivity = (priced_from ->> 'uniform_sensitivity')::double precision,
    uniform_valuation = (priced_from ->> 'uniform_valuation')::double precision,
    live_uniform_price = (priced_from ->> 'live_uniform_price')::double precision,
    sensitivity = (priced_from ->> 'sensitivity')::double precision,
    valuation = (priced_from ->> 'valuation')::double precision,
    live_price = (priced_from ->> 'live_price')::double precision,
    live_propensity = (priced_from ->> 'live_propensity')::double precision,
    repriced_as_of = (priced_from ->> 'repriced_as_of')::timestamptz
WHERE priced_from IS NOT NULL;
DROP INDEX pricing.quotes_of_scarce_products;
ALTER TABLE pricing.quotes DROP COLUMN priced_from;
CREATE INDEX quotes_of_scarce_products ON pricing.quotes (book_id, product_id, user_id) WHERE pool_id IS NOT NULL;
