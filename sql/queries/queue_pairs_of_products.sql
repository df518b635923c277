-- Everybody who is quoted a personal price for one of these products is priced anew for it.
INSERT INTO pricing.reprice_queue (user_id, product_id, queued_at)
SELECT user_id, prices.product_id, %(queued_at)s
FROM pricing.personal_prices AS prices
WHERE prices.book_id = %(book_id)s AND prices.product_id = ANY (%(products)s)
UNION
SELECT user_id, prices.product_id, %(queued_at)s
FROM pricing.repriced_personal AS prices
WHERE prices.book_id = %(book_id)s AND prices.product_id = ANY (%(products)s)
