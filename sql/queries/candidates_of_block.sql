-- One block of users with the products they get personal prices for, always in the same order.
SELECT user_id, product_id
FROM candidate
WHERE user_number >= %(first_user)s AND user_number < %(first_user)s + %(users)s
ORDER BY user_number, product_id
