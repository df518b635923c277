-- Which book a rollback returns to is read from the ledger, where every publication and every return stands.
ALTER TABLE pricing.live DROP COLUMN previous_book_id;
