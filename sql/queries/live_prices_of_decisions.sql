-- The live prices of the pairs now being decided, where the live book is of the same dataset.
SELECT decision.decision_id, personal.price, uniform.price AS uniform_price
FROM decision
JOIN pricing.live ON true
JOIN pricing.books ON books.book_id = live.book_id AND books.dataset = %(dataset)s
JOIN pricing.uniform_prices AS uniform
  ON uniform.book_id = live.book_id AND uniform.product_id = decision.product_id
LEFT JOIN pricing.personal_prices AS personal
  ON personal.book_id = live.book_id AND personal.user_id = decision.user_id
 AND personal.product_id = decision.product_id
