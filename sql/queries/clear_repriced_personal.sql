-- Make room for the prices of the pairs now being decided.
DELETE FROM pricing.repriced_personal AS kept USING decision
WHERE kept.book_id = %(book_id)s AND kept.user_id = decision.user_id AND kept.product_id = decision.product_id
