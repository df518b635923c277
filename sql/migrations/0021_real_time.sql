-- Going live queues what a book has not seen by itself: as a trigger on an insert that turned into an update it ran twice.
DROP TRIGGER IF EXISTS another_book_is_live ON pricing.live;
DROP FUNCTION IF EXISTS pricing.queue_unseen_changes();

-- What people who were forgotten had bought of each pool: the stock stays sold, and nothing says to whom.
CREATE TABLE pricing.forgotten_units (
    dataset text NOT NULL,
    pool_id text NOT NULL,
    units   double precision NOT NULL,
    PRIMARY KEY (dataset, pool_id)
);

-- Between which prices a personal price that was set beside an earlier uniform price stands until its pair is priced
-- anew: the limits that it has to keep now. Null where none stands, and in rows from before.
ALTER TABLE pricing.repriced_uniform ADD COLUMN personal_lower numeric, ADD COLUMN personal_upper numeric;

-- Uniform prices that were priced anew since, as long as their book is kept: what the standing prices were set beside.
CREATE TABLE pricing.superseded_uniform (
    LIKE pricing.repriced_uniform INCLUDING CONSTRAINTS,
    PRIMARY KEY (book_id, product_id, repriced_at)
);
