-- Prices between two books: somebody acts or the market moves, and the live price follows.

ALTER TABLE pricing.events
    ADD COLUMN dataset text,                             -- of the book that was live when it was recorded
    ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN collected boolean NOT NULL DEFAULT false; -- it has come back through a collection, into data.behaviour
ALTER TABLE pricing.outcomes ADD COLUMN collected boolean NOT NULL DEFAULT false;
CREATE INDEX outcomes_to_collect ON pricing.outcomes (quote_id) WHERE NOT collected;
CREATE INDEX events_by_user ON pricing.events (user_id, occurred_at) WHERE NOT collected;
CREATE INDEX offers_by_product ON data.offers (dataset, product_id);

-- What has to be priced anew: all of a user's products (user), a product's uniform price (product), or one pair (both).
CREATE TABLE pricing.reprice_queue (
    entry_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    text,
    product_id text,
    queued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (user_id IS NOT NULL OR product_id IS NOT NULL)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX reprice_queue_of_products ON pricing.reprice_queue (entry_id) WHERE user_id IS NULL;
-- Who acted comes before pairs that the market touched.
CREATE INDEX reprice_queue_of_users ON pricing.reprice_queue ((product_id IS NOT NULL), entry_id)
    WHERE user_id IS NOT NULL;

-- Served before the book they belong to, whose own rows never change. A row without a price withdraws the book's:
-- under today's costs and rules there is none, and `reasons` says why.
CREATE TABLE pricing.repriced_personal (
    LIKE pricing.personal_prices INCLUDING CONSTRAINTS,
    decided_at timestamptz NOT NULL,  -- its features are as of this moment
    repriced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (book_id, user_id, product_id)
);
CREATE TABLE pricing.repriced_uniform (
    LIKE pricing.uniform_prices INCLUDING CONSTRAINTS,
    decided_at timestamptz NOT NULL,
    repriced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (book_id, product_id)
);
ALTER TABLE pricing.repriced_personal
    ALTER COLUMN price DROP NOT NULL, ALTER COLUMN lower DROP NOT NULL, ALTER COLUMN upper DROP NOT NULL,
    ALTER COLUMN purchase_probability DROP NOT NULL, ALTER COLUMN elasticity DROP NOT NULL;
ALTER TABLE pricing.repriced_uniform
    ALTER COLUMN price DROP NOT NULL, ALTER COLUMN lower DROP NOT NULL, ALTER COLUMN upper DROP NOT NULL;

-- The prices of the live book as they are now.
CREATE VIEW pricing.current_uniform AS
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_uniform AS repriced USING (book_id)
UNION ALL
SELECT published.*, NULL, NULL FROM pricing.live JOIN pricing.uniform_prices AS published USING (book_id)
WHERE NOT EXISTS (SELECT FROM pricing.repriced_uniform AS repriced
                  WHERE repriced.book_id = published.book_id AND repriced.product_id = published.product_id);

CREATE VIEW pricing.current_personal AS
SELECT repriced.* FROM pricing.live JOIN pricing.repriced_personal AS repriced USING (book_id)
UNION ALL
SELECT published.*, NULL, NULL FROM pricing.live JOIN pricing.personal_prices AS published USING (book_id)
WHERE NOT EXISTS (SELECT FROM pricing.repriced_personal AS repriced
                  WHERE repriced.book_id = published.book_id AND repriced.user_id = published.user_id
                    AND repriced.product_id = published.product_id);

CREATE OR REPLACE VIEW pricing.live_prices AS
SELECT personal.user_id, personal.product_id, personal.price, uniform.price AS uniform_price, uniform.list_price,
       books.currency, personal.lower, personal.upper, personal.purchase_probability, personal.elasticity,
       personal.reasons, personal.randomised, personal.propensity, personal.book_id,
       personal.repriced_at
FROM pricing.current_personal AS personal
JOIN pricing.books USING (book_id)
JOIN pricing.current_uniform AS uniform USING (book_id, product_id)
WHERE personal.price IS NOT NULL AND uniform.price IS NOT NULL;
