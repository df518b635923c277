-- Make room for the uniform prices of the products now being decided.
DELETE FROM pricing.repriced_uniform AS kept USING decision
WHERE kept.book_id = %(book_id)s AND kept.product_id = decision.product_id
