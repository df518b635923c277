-- What the storefront has sold of a pool and no collection has brought in yet is gone from its stock all the same.
ALTER TABLE pricing.outcomes ADD COLUMN pool_id text;  -- of the quote, where its product is sold from a pool
UPDATE pricing.outcomes SET pool_id = quotes.priced_from ->> 'pool_id'
FROM pricing.quotes WHERE quotes.quote_id = outcomes.quote_id AND quotes.priced_from ? 'pool_id';
CREATE INDEX outcomes_by_pool ON pricing.outcomes (pool_id) WHERE purchased AND pool_id IS NOT NULL;
CREATE INDEX offers_by_pool ON data.offers (dataset, pool_id) WHERE purchased AND pool_id IS NOT NULL;
