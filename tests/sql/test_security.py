"""What a login of the storefront's can do, asked of the database's own catalogue, so that a new object is covered."""

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

from tasks.database import migrate, transaction

SCHEMAS = ("pricing", "data", "incoming")
TABLE_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER"  # any of them
SEQUENCE_PRIVILEGES = "USAGE, SELECT, UPDATE"
OPEN_TO_THE_STOREFRONT = {
    "pricing.quote(text,text)",
    "pricing.record_event(text,text,text,text,double precision,timestamp with time zone,uuid)",
    "pricing.record_outcome(uuid,boolean,double precision,text,text,numeric)",
}
PRODUCT = (
    "INSERT INTO data.snapshots (snapshot_id, dataset, currency, row_counts, as_of, validation)"
    " VALUES ('s', 'shop', 'EUR', '{}', now(), '{}');"
    "INSERT INTO data.products (dataset, product_id, list_price, unit_cost) VALUES ('shop', 'tea', 4, 2);"
    "INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,"
    " terms, state, expires_at)"
    " VALUES ('h', 'shop', 's', 'demand', 1, 'r', '{}', 'EUR', '{}', 'published', now() + '1 day');"
    "INSERT INTO pricing.live (book_id) SELECT book_id FROM pricing.books"
)


@pytest.fixture
def storefront(database_url: str) -> Iterator[Connection]:
    """A connection of a login that is a member of the storefront's role and of nothing else."""
    migrate(database_url)
    name, password = f"shop_{uuid4().hex[:12]}", uuid4().hex
    with transaction(database_url) as owner, owner.cursor() as cursor:
        cursor.execute(PRODUCT)
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE pricing_storefront")
    url = make_url(database_url).set(drivername="postgresql", username=name, password=password)
    with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as connection:
        connection.autocommit = True
        yield connection
    with transaction(database_url) as owner, owner.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def rows(connection: Connection, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else []


def test_no_table_view_or_sequence_can_be_read_or_written(storefront: Connection) -> None:
    found = rows(
        storefront,
        "SELECT pg_class.oid, nspname, relname, relkind"
        " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        f" WHERE nspname IN {(*SCHEMAS, 'public')} AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')",
    )
    assert len(found) > 20
    for oid, schema, name, kind in found:
        if kind == "S":
            assert rows(storefront, "SELECT has_sequence_privilege(%s::oid, %s)", oid, SEQUENCE_PRIVILEGES) == [
                (False,)
            ]
            continue
        assert rows(storefront, "SELECT has_table_privilege(%s::oid, %s)", oid, TABLE_PRIVILEGES) == [(False,)], name
        by_column = "SELECT has_any_column_privilege(%s::oid, 'SELECT, INSERT, UPDATE, REFERENCES')"
        assert rows(storefront, by_column, oid) == [(False,)], name
        for way in ("TO STDOUT", "FROM STDIN"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                rows(storefront, f'COPY "{schema}"."{name}" {way}')


def test_of_the_schemas_only_that_of_the_functions_is_open(storefront: Connection) -> None:
    found = rows(
        storefront,
        "SELECT nspname, has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE')"
        f" FROM pg_namespace WHERE nspname IN {(*SCHEMAS, 'public')} ORDER BY nspname",
    )
    assert found == [
        ("data", False, False), ("incoming", False, False), ("pricing", True, False), ("public", True, False),
    ]  # fmt: skip


def test_three_functions_can_be_called_and_no_other(storefront: Connection) -> None:
    found = rows(
        storefront,
        "SELECT pg_proc.oid::regprocedure::text, has_function_privilege(pg_proc.oid, 'EXECUTE')"
        " FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace"
        f" WHERE nspname IN {SCHEMAS} AND prorettype <> 'trigger'::regtype",
    )
    assert len(found) > len(OPEN_TO_THE_STOREFRONT)
    assert {name for name, may in found if may} == OPEN_TO_THE_STOREFRONT


@pytest.mark.parametrize(
    "held", ["pg_advisory_lock(7265002)", "pg_try_advisory_xact_lock(1, 2)", "lo_from_bytea(0, 'much')", "lo_creat(-1)"]
)
def test_nobody_is_held_up_and_no_disk_is_filled(storefront: Connection, held: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows(storefront, f"SELECT {held}")


def test_no_function_reads_its_callers_search_path_or_temporary_objects(storefront: Connection) -> None:
    found = rows(
        storefront,
        "SELECT pg_proc.oid::regprocedure::text, proconfig"
        " FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace"
        " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'",
    )
    others = {"pricing.refuse_bad_id(text,text)", "pricing.refuse_change()"}
    assert OPEN_TO_THE_STOREFRONT | others <= {name for name, _ in found}
    for name, settings in found:
        assert isinstance(settings, list), name
        assert "search_path=pg_catalog, pg_temp" in settings, name


def may_make_temporary_objects(url: str, storefront: Connection) -> None:
    """As in a database whose owner has allowed it again."""
    with transaction(url) as owner, owner.cursor() as cursor:
        cursor.execute(f"GRANT TEMPORARY ON DATABASE {make_url(url).database} TO {storefront.info.user}")


def test_a_type_of_the_callers_own_does_not_run_as_the_owner(storefront: Connection, database_url: str) -> None:
    may_make_temporary_objects(database_url, storefront)
    rows(
        storefront,
        "CREATE TEMPORARY TABLE seen (by name);"
        "GRANT ALL ON seen TO PUBLIC;"
        "CREATE FUNCTION pg_temp.evil(value pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO pg_temp.seen VALUES (current_user); RETURN true; END';"
        "CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.evil(VALUE))",
    )
    assert rows(storefront, "SELECT 'x'::pg_temp.text; SELECT by FROM seen") == [(storefront.info.user,)]  # it works
    rows(storefront, "SELECT pricing.record_event('u', 'view', 'p')")
    rows(storefront, "SELECT pricing.record_outcome(quote_id, true) FROM pricing.quote('u', 'tea')")
    rows(storefront, "SELECT pricing.record_outcome(%s, true, 1, 'u', 'tea', 4)", str(uuid4()))
    assert rows(storefront, "SELECT count(*) FROM seen") == [(1,)]


def test_objects_of_the_callers_own_do_not_stand_in_for_the_platforms(
    storefront: Connection, database_url: str
) -> None:
    may_make_temporary_objects(database_url, storefront)
    before = rows(storefront, "SELECT price, source FROM pricing.quote('ann', 'tea')")
    for name in ("live", "books", "users", "products", "uniform_prices", "personal_prices", "quotes"):
        rows(storefront, f"CREATE TEMPORARY TABLE {name} (book_id bigint, price numeric)")
    rows(
        storefront,
        "CREATE FUNCTION pg_temp.refuse_bad_id(kind text, id text) RETURNS void LANGUAGE sql AS $$ SELECT 1 / 0 $$",
    )
    rows(storefront, "SET search_path = pg_temp, pricing")
    assert rows(storefront, "SELECT price, source FROM pricing.quote('ann', 'tea')") == before


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE pricing_worker",
        "SET ROLE pricing_owner",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (a text)",
        "CREATE DOMAIN pg_temp.text AS pg_catalog.text",
        "CREATE TABLE pricing.mine (a text)",
        "CREATE FUNCTION pricing.quote(a text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE another",
        "GRANT pricing_worker TO CURRENT_USER",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/out'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE EXTENSION dblink",
        "ALTER FUNCTION pricing.quote(text, text) RESET search_path",
    ],
)
def test_nothing_else_is_allowed(storefront: Connection, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows(storefront, statement)


@pytest.mark.parametrize("size", [257, 1_000_000])
def test_huge_texts_are_refused_whichever_argument_holds_them(storefront: Connection, size: int) -> None:
    huge = "x" * size
    for call in ("quote(%s, 'tea')", "quote('ann', %s)", "record_event(%s, 'view')", "record_event('ann', %s)",
                 "record_event('ann', 'view', %s)", "record_event('ann', 'view', 'tea', %s)",
                 "record_outcome(gen_random_uuid(), true, 1, %s, 'tea', 4)",
                 "record_outcome(gen_random_uuid(), true, 1, 'ann', %s, 4)"):  # fmt: skip
        with pytest.raises(psycopg2.errors.InvalidParameterValue, match=r"1 to \d+ characters"):
            rows(storefront, f"SELECT pricing.{call}", huge)


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE pricing.live; --", '"', "\\", "%s", "$1", "\u202e\U0001f600", "a\nb"]
)
def test_hostile_texts_are_only_data(storefront: Connection, database_url: str, hostile: str) -> None:
    rows(storefront, "SELECT pricing.record_event(%s, %s)", hostile, hostile)
    rows(storefront, "SELECT pricing.quote(%s, 'tea')", hostile)
    rows(storefront, "SELECT pricing.record_outcome(%s, true, 1, %s, 'tea', 4)", str(uuid4()), hostile)
    with transaction(database_url) as owner:
        assert rows(owner, "SELECT user_id, kind FROM pricing.events") == [(hostile, hostile)]
        assert rows(owner, "SELECT user_id FROM pricing.quotes") == [(hostile,)] * 2


def test_quote_ids_are_drawn_so_that_no_other_can_be_guessed(storefront: Connection) -> None:
    found = [UUID(str(quote_id)) for _ in range(50) for (quote_id,) in rows(storefront, _QUOTE_ID)]
    assert {quote_id.version for quote_id in found} == {7}  # the last 62 bits are random, by the server's strong source
    changed = [((one.int ^ other.int) & (2**62 - 1)).bit_count() for one, other in pairwise(found)]
    assert 27 < sum(changed) / len(changed) < 35  # half of them, from one quote to the next
    with pytest.raises(psycopg2.errors.NoDataFound):
        rows(storefront, "SELECT pricing.record_outcome(%s, true)", str(uuid4()))


def test_nobody_elses_quote_is_answered_in_another_name(storefront: Connection, database_url: str) -> None:
    ((quote_id,),) = rows(storefront, _QUOTE_ID)
    for user, price in (("eve", 4), ("ann", "NaN"), ("ann", -4)):
        with pytest.raises(psycopg2.errors.InvalidParameterValue) as refused:
            rows(storefront, "SELECT pricing.record_outcome(%s, true, 1, %s, 'tea', %s)", quote_id, user, price)
        assert "ann" not in str(refused.value)  # whose it is stays unsaid
    with transaction(database_url) as owner:
        assert rows(owner, "SELECT FROM pricing.outcomes") == []


_QUOTE_ID = "SELECT quote_id FROM pricing.quote('ann', 'tea')"
