-- One block of users with the products they get personal prices for and what is to come of them, always in the same order.
SELECT user_id, product_id, to_come.quantity
FROM candidate
LEFT JOIN to_come USING (product_id)
WHERE user_number >= %(first_user)s AND user_number < %(first_user)s + %(users)s
ORDER BY user_number, product_id
