-- Which pairs have been quoted of a scarce product, since each is one of the requests that its book expects. First,
-- while nothing that quotes read is locked.
CREATE INDEX quotes_of_scarce_products ON pricing.quotes (book_id, product_id, user_id) WHERE priced_from ? 'pool_id';

-- What a unit of each pool is worth by how much of it is left, as a book found it: so that bid prices follow sales and
-- requests until the next one.
CREATE TABLE pricing.bid_price_curves (
    book_id   bigint NOT NULL REFERENCES pricing.books,
    pool_id   text NOT NULL,
    requests  double precision NOT NULL CHECK (requests > 0),  -- that the book expects, in units
    units     double precision[] NOT NULL,            -- left for all of them, rising
    bid_price double precision[] NOT NULL,            -- falling, in money
    PRIMARY KEY (book_id, pool_id),
    CHECK (cardinality(units) > 0 AND cardinality(units) = cardinality(bid_price))
);

-- The bid price that a product was priced by since; null where it is the book's own.
ALTER TABLE pricing.repriced_uniform ADD COLUMN bid_price double precision;
