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
