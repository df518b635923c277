-- What each price was computed from, so that it can be computed again to the digit whatever became of the model and
-- its data: scored alone, a row's demand differs from its demand scored in a block by about 1e-6.
ALTER TABLE pricing.personal_prices
    ADD COLUMN sensitivity double precision,      -- b and v of the user's demand for the product
    ADD COLUMN valuation double precision,
    ADD COLUMN live_price double precision,       -- what the user was quoted then, that steps count from
    ADD COLUMN live_propensity double precision;  -- of that price, where it was drawn in the same period

ALTER TABLE pricing.uniform_prices
    ADD COLUMN sensitivity double precision,      -- of the demand of somebody nothing is known of
    ADD COLUMN valuation double precision,
    ADD COLUMN live_price double precision,
    ADD COLUMN unit_cost double precision,
    ADD COLUMN floor double precision,
    ADD COLUMN ceiling double precision,
    ADD COLUMN pool_id text;

-- The same with each quote, which outlives its book.
ALTER TABLE pricing.quotes ADD COLUMN priced_from jsonb;
