-- Whether a book's version was let in without evidence of what its prices earn: its successor need not beat it by any.
ALTER TABLE pricing.books ADD COLUMN cold_start boolean NOT NULL DEFAULT false;
