"""A shop of two products for tests of the storefront's functions, and its price books."""

from psycopg2.extensions import connection as Connection

from tasks.database import migrate, transaction

BOOKS = """
INSERT INTO data.users (dataset, user_id, personalisation_consent)
VALUES ('shop', 'ann', NULL), ('shop', 'bob', false), ('shop', 'eve', true);
INSERT INTO data.products (dataset, product_id, list_price, unit_cost)
VALUES ('shop', 'tea', 4, 2), ('shop', 'cup', 9, 5), ('other', 'car', 9000, 5000);
INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)
VALUES ('s', 'shop', 'EUR', '{}', now(), '{}');
"""
BOOK = """
INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,
                           terms, disclosure, state, published_at, expires_at, approver, priced_against)
VALUES ('h', 'shop', 's', 'demand', %(version)s, 'r', '{}', 'EUR', '{}', 'personalised', 'published', now(),
        now() + %(lifetime)s, 'automatic', (SELECT book_id FROM pricing.live))
RETURNING book_id
"""
PRICES = """
SET LOCAL lock_timeout = '10s';
CREATE TABLE pricing.personal_prices_{book} (LIKE pricing.personal_prices INCLUDING ALL);
CREATE TABLE pricing.uniform_prices_{book} (LIKE pricing.uniform_prices INCLUDING ALL);
ALTER TABLE pricing.personal_prices ATTACH PARTITION pricing.personal_prices_{book} FOR VALUES IN ({book});
ALTER TABLE pricing.uniform_prices ATTACH PARTITION pricing.uniform_prices_{book} FOR VALUES IN ({book});
INSERT INTO pricing.uniform_prices VALUES ({book}, 'tea', 3.8, 3, 4, 4, '{{}}');
INSERT INTO pricing.personal_prices
VALUES ({book}, 'ann', 'tea', {price}, 3, 4, 0.2, -2, '{{explored}}', true, 2.5),
       ({book}, 'bob', 'tea', {price}, 3, 4, 0.2, -2, '{{}}', false, NULL);
UPDATE pricing.books SET content_hash = pricing.book_content_hash({book}) WHERE book_id = {book};
SELECT pricing.make_live({book}, 'publish');
"""


def open_shop(url: str) -> None:
    """Migrate the database; two products, and a live book of one of them."""
    migrate(url)
    with transaction(url) as connection:
        with connection.cursor() as cursor:
            cursor.execute(BOOKS)
        publish(connection, "3.5")


def publish(connection: Connection, price: str, lifetime: str = "1 day", version: int = 1) -> int:
    with connection.cursor() as cursor:
        cursor.execute(BOOK, {"version": version, "lifetime": lifetime})
        (book,) = cursor.fetchone() or (0,)
        cursor.execute(PRICES.format(book=book, price=price))
    return int(book)


def rows(connection: Connection, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall()
