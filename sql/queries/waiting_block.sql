-- The rows on some pages of a waiting table.
SELECT {columns} FROM {waiting} WHERE ctid >= %(first)s::tid AND ctid < %(after)s::tid
