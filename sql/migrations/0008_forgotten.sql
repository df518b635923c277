-- Of a person who was forgotten a published book keeps the hash of their prices, at the place where their user id stood
-- among all user ids: the book still verifies, and nobody is named.
CREATE TABLE pricing.forgotten (
    book_id      bigint NOT NULL REFERENCES pricing.books,
    place        bigint NOT NULL,  -- from 0, in the order of the book's user ids when it was published
    hash         text NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (book_id, place)
);
