-- Later prices go with the book they continued.
DELETE FROM pricing.repriced_personal WHERE book_id = %(book_id)s;
DELETE FROM pricing.repriced_uniform WHERE book_id = %(book_id)s
