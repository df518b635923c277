-- A logged quote, the price its book still has, the terms of its book and all that the book came from. `live_entry` is
-- the ledger's entry by which the book was live at that moment.
SELECT quotes.*, books.policy, books.terms, books.currency, books.run_id, books.priced_against, books.content_hash,
       books.approver, books.state, books.certificate, snapshots.snapshot_id, snapshots.dataset, snapshots.row_counts, snapshots.as_of,
       CASE WHEN quotes.repriced_as_of IS NOT NULL THEN NULL
            WHEN quotes.source = 'personal' THEN personal.price
            WHEN quotes.source = 'uniform' THEN uniform.price END AS kept_price,
       live_entry.entry_id, live_entry.book_id AS live_book_id, live_entry.details
FROM pricing.quotes
JOIN pricing.books USING (book_id)
JOIN data.snapshots USING (snapshot_id)
LEFT JOIN LATERAL (
    SELECT entry_id, ledger.book_id, details FROM pricing.ledger
    WHERE ledger.recorded_at <= quotes.quoted_at ORDER BY entry_id DESC LIMIT 1
) AS live_entry ON true
LEFT JOIN pricing.personal_prices AS personal
  ON personal.book_id = quotes.book_id AND personal.user_id = quotes.user_id AND personal.product_id = quotes.product_id
LEFT JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = quotes.book_id AND uniform.product_id = quotes.product_id
WHERE quotes.quote_id = %(quote_id)s
