"""The whole path as a login that owns no table, in a database whose owner is no superuser; and what it cannot do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg2
import pytest
from sqlalchemy.engine import make_url

import tasks.books.publish
from tasks.books.approvals import ApprovalError, require_approval
from tasks.books.certify import certify
from tasks.books.history import verify_ledger
from tasks.books.publish import PublicationError, roll_back
from tasks.books.review import submit_for_review
from tasks.data.collect import collect
from tasks.data.validate import BatchRefusedError, validate
from tasks.database import NotMigratedError, migrate, transaction
from tasks.quotes.forget import forget
from tasks.quotes.quote import quote
from tasks.quotes.reprice import reprice_all
from tasks.settings import Settings
from tasks.sources import SourceParameters

Tables = dict[str, pd.DataFrame]
Execute = Callable[[str, str], list[tuple[Any, ...]]]
LOGINS = {"owner": "CREATEROLE", "worker": "IN ROLE pricing_worker", "colleague": "IN ROLE pricing_worker"}
PLATFORM_ROLES = ("owner", "worker", "storefront", "reviewer")


@pytest.fixture
def logins(database_url: str, execute: Execute) -> Iterator[dict[str, str]]:
    """The URLs of the test's database as its owner, as a worker, and as another worker."""
    secret = uuid4().hex
    for role in PLATFORM_ROLES:
        if not execute(database_url, f"SELECT 1 FROM pg_roles WHERE rolname = 'pricing_{role}'"):
            execute(database_url, f"CREATE ROLE pricing_{role}")
    for login, options in LOGINS.items():
        execute(database_url, f"CREATE ROLE {login}_{secret} LOGIN PASSWORD '{secret}' {options}")
    execute(database_url, f"GRANT pricing_worker TO owner_{secret}")
    execute(database_url, f"ALTER DATABASE {make_url(database_url).database} OWNER TO owner_{secret}")
    url = make_url(database_url).set(password=secret)
    yield {login: url.set(username=f"{login}_{secret}").render_as_string(hide_password=False) for login in LOGINS}
    for login in LOGINS:
        execute(database_url, f"REASSIGN OWNED BY {login}_{secret} TO CURRENT_USER")
        execute(database_url, f"DROP OWNED BY {login}_{secret}")
    for login in LOGINS:
        execute(database_url, f"DROP ROLE {login}_{secret}")


@pytest.fixture
def settings(logins: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As everywhere in these tests, but that the owner has migrated the database and the rest is done by a worker."""
    migrate(logins["owner"])
    monkeypatch.setenv("PRICING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRICING_DATABASE_URL", logins["worker"])
    return Settings()


def test_a_worker_is_told_who_migrates(logins: dict[str, str]) -> None:
    asked = r"lacks its tables, which worker_\w+ may not make .*: run `pricing verify` once with its owner's"
    with pytest.raises(NotMigratedError, match=asked):
        migrate(logins["worker"])
    assert migrate(logins["owner"])
    assert migrate(logins["worker"]) == migrate(logins["owner"]) == []


def test_other_functions_are_for_the_owner_too(logins: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sql

    migrate(logins["owner"])
    newer = [*sql.functions(), ("zzz", "CREATE FUNCTION pricing.newer() RETURNS integer LANGUAGE sql AS 'SELECT 1'")]
    monkeypatch.setattr(sql, "functions", lambda: newer)
    with pytest.raises(NotMigratedError, match="lacks functions "):
        migrate(logins["worker"])
    (applied,) = migrate(logins["owner"])
    monkeypatch.undo()
    (again,) = migrate(logins["owner"])  # an older release is back
    assert applied != again
    assert migrate(logins["worker"]) == []


def test_a_worker_takes_in_data_and_clears_away_what_another_left(
    settings: Settings,
    shop: Tables,
    write_tables: Callable[..., Path],
    tmp_path: Path,
    logins: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    query: Callable[[str], list[tuple[Any, ...]]],
) -> None:
    def take_in(tables: Tables) -> Any:
        folder = write_tables(tables, tmp_path / "shop", "parquet")
        return validate.fn(collect.fn(SourceParameters(kind="files", path=folder, currency="EUR")))

    monkeypatch.setenv("PRICING_DATABASE_URL", logins["colleague"])
    with pytest.raises(BatchRefusedError):
        take_in(shop | {"offers": shop["offers"].assign(price=-1.0)})
    assert query("SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'incoming'") == [(True,)]
    monkeypatch.setenv("PRICING_DATABASE_URL", logins["worker"])
    assert take_in(shop).row_counts["offers"] == 40
    assert query("SELECT tablename FROM pg_tables WHERE schemaname = 'incoming'") == []
    assert query("SELECT reltuples FROM pg_class WHERE oid = 'data.offers'::regclass") == [(40.0,)]  # it was analysed


def test_a_worker_prices_publishes_goes_back_reprices_drops_and_forgets(
    book_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(make_url(book_shop.url).username).startswith("worker_")
    first, _, _ = book_shop.published()
    second, _, _ = book_shop.published(book_shop.policy.model_copy(update={"satisfaction_weight": 0.1}))
    assert quote("u001", "p01").book_id == second.book.book_id
    assert roll_back.fn(None).book_id == first.book.book_id
    book_shop.run("SELECT pricing.record_event('u001', 'view', 'p01')")
    assert reprice_all(book_shop.url, 100, demands=lambda version: book_shop.demand).prices > 0
    monkeypatch.setattr(tasks.books.publish, "BOOKS_KEPT", 0)
    third, _, _ = book_shop.published(book_shop.policy.model_copy(update={"satisfaction_weight": 0.2}))
    states = book_shop.rows("SELECT state FROM pricing.books ORDER BY book_id")["state"].tolist()
    assert states == ["published", "dropped", "published"]
    assert forget("u001").rows["pricing.personal_prices"] > 0
    assert verify_ledger().live_book_id == third.book.book_id


def test_what_waits_is_forgotten_with_the_workers_own_rights(book_shop: Any) -> None:
    book_shop.run(
        "CREATE TABLE incoming.offers_9 AS SELECT unnest(ARRAY['u001', 'u002', 'u001']) AS user_id;"
        "ALTER TABLE incoming.offers_9 OWNER TO pricing_worker;"
        "CREATE TABLE incoming.seen (by name);"
        "GRANT INSERT ON incoming.seen TO PUBLIC;"
        "CREATE FUNCTION incoming.trap() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO incoming.seen VALUES (current_user); RETURN OLD; END';"
        "CREATE TRIGGER trap BEFORE DELETE ON incoming.offers_9 FOR EACH ROW EXECUTE FUNCTION incoming.trap()"
    )
    assert forget("u001").rows["incoming.offers_9"] == 2
    assert book_shop.rows("SELECT user_id FROM incoming.offers_9")["user_id"].tolist() == ["u002"]
    assert book_shop.rows("SELECT by FROM incoming.seen")["by"].unique() == [make_url(book_shop.url).username]


TAMPERINGS = [
    "UPDATE pricing.ledger SET actor = 'somebody'",
    "DELETE FROM pricing.ledger",
    "TRUNCATE pricing.ledger",
    "INSERT INTO pricing.ledger SELECT 9, now(), 'me', 'publish', 1, '{}', '', ''",
    "ALTER TABLE pricing.ledger DISABLE TRIGGER ledger_is_append_only",
    "ALTER TABLE pricing.books DISABLE TRIGGER ALL",
    "DROP TRIGGER recorded_books_stay ON pricing.books",
    "ALTER TABLE pricing.ledger OWNER TO CURRENT_USER",
    "SET session_replication_role = replica",
    "UPDATE pricing.live SET ledger_hash = ''",
    "DELETE FROM pricing.live",
    "INSERT INTO pricing.approvals VALUES (DEFAULT, 1, 1, 'content', 'boss', now())",
    "INSERT INTO pricing.trainings VALUES ('another', 1, 'boss', now())",
    "SELECT pricing.approve(1)",
    "UPDATE pricing.personal_prices SET price = upper",
    "UPDATE pricing.personal_prices_1 SET price = upper",
    "DELETE FROM pricing.personal_prices",
    "DELETE FROM pricing.uniform_prices_1",
    "TRUNCATE pricing.personal_prices_1",
    "INSERT INTO pricing.personal_prices SELECT 1, 'new', product_id, price, lower, upper, 0.5, -1, '{}', false"
    " FROM pricing.uniform_prices_1",
    "INSERT INTO pricing.uniform_prices_1 SELECT * FROM pricing.uniform_prices_1",
    "ALTER TABLE pricing.personal_prices DETACH PARTITION pricing.personal_prices_1",
    "DROP TABLE pricing.personal_prices_1",
    "ALTER TABLE pricing.personal_prices_1 ADD COLUMN more text",
    "CREATE TABLE pricing.personal_prices_9 (LIKE pricing.personal_prices)",
    "CREATE FUNCTION pricing.quote(a integer) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION pricing.book_content_hash(hashed_book_id bigint) RETURNS text"
    " LANGUAGE sql AS $$ SELECT '' $$",
    "DELETE FROM pricing.books",
    "UPDATE pricing.books SET policy = '{}'",
    "UPDATE pricing.books SET content_hash = 'x'",
    "UPDATE pricing.books SET certificate = '{}'",
    "UPDATE pricing.books SET state = 'staged'",
    "UPDATE pricing.books SET expires_at = 'infinity'",
    "SELECT pricing.seal_book(1, '{}')",
    "SELECT pricing.require_approval('automatic')",
    "UPDATE pricing.required_approval SET approval = 'automatic'",
    "UPDATE pricing.quotes SET price = 1",
    "UPDATE pricing.bid_price_curves SET bid_price = '{1e6}'",
    "DELETE FROM pricing.outcomes",
    "DELETE FROM pricing.forgotten_units",
    "INSERT INTO pricing.outcomes SELECT quote_id, true, 1 FROM pricing.quotes",
    "SELECT pricing.record_lost_quote(gen_random_uuid(), 'u001', 'p03', list_price::numeric) FROM data.products"
    " WHERE product_id = 'p03'",
    "UPDATE pricing.books SET approver = 'boss'",
    "INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,"
    " terms, approver) SELECT inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy, currency,"
    " terms, 'boss' FROM pricing.books",
    "GRANT UPDATE ON pricing.ledger TO CURRENT_USER; UPDATE pricing.ledger SET actor = 'somebody'",
    "UPDATE public.pricing_migrations SET name = 'x'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/written')",
]
AGAINST_WHAT_IS_RECORDED = [
    "SELECT pricing.drop_prices(1)",
    "SELECT pricing.publish_book(1, '{}', interval '1 day')",
    "SELECT pricing.submit_book(1, '{}', 'review', interval '1 day')",
    "SELECT pricing.stage_prices(1)",
    "SELECT pricing.stage_prices(9)",
    "INSERT INTO pricing.bid_price_curves VALUES (1, 'all', 1, '{1e12}', '{1e6}')",
]


def test_a_worker_changes_nothing_that_is_published_or_recorded(book_shop: Any) -> None:
    book_shop.published()
    refusals = [(tampering, psycopg2.errors.InsufficientPrivilege) for tampering in TAMPERINGS]
    refusals += [(tampering, psycopg2.errors.ObjectNotInPrerequisiteState) for tampering in AGAINST_WHAT_IS_RECORDED]
    proof, quotes = verify_ledger(), book_shop.quotes()
    for tampering, refusal in refusals:
        try:
            book_shop.run(tampering)
            pytest.fail(f"a worker may {tampering}")
        except refusal:
            pass
    assert verify_ledger() == proof
    pd.testing.assert_series_equal(book_shop.quotes(), quotes)


def test_a_worker_names_no_approver_and_withdraws_no_question_for_one(book_shop: Any) -> None:
    waiting, promotion = book_shop.priced()
    submit_for_review.fn(waiting, promotion, certify.fn(waiting, promotion), "two_person", hours=1)
    book_id = waiting.book.book_id
    for attempt, refusal in {
        "SELECT pricing.submit_book(book_id, certificate, 'automatic', '1 day') FROM pricing.books": r"\(two_person\)",
        "SELECT pricing.publish_book(book_id, certificate, '1 day') FROM pricing.books": "is not approved",
        "SELECT pricing.publish_book(book_id, certificate, '1 year') FROM pricing.books": "31 days at most",
        f"SELECT pricing.publish_book({book_id}, '{{}}', '1 day')": "submitted with another certificate",
        f"SELECT pricing.make_live({book_id}, 'publish')": "has no published prices",
        f"SELECT pricing.make_live({book_id}, 'rollback')": "has no published prices",
    }.items():
        with pytest.raises(psycopg2.Error, match=refusal):
            book_shop.run(attempt)
    assert book_shop.rows("SELECT * FROM pricing.live").empty
    book_shop.published()
    assert book_shop.rows("SELECT details ->> 'approver' AS by FROM pricing.ledger")["by"].tolist() == ["automatic"]


def test_what_every_book_needs_is_asked_of_one_that_asked_for_nothing(book_shop: Any, logins: dict[str, str]) -> None:
    with transaction(logins["owner"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pricing.require_approval('review')")
    with pytest.raises(PublicationError, match="is not approved"):
        book_shop.published()
    assert book_shop.rows("SELECT * FROM pricing.live").empty
    with pytest.raises(ApprovalError, match="only the owner of the database"):
        require_approval("automatic")


def test_a_book_is_sealed_as_it_is_and_not_as_its_maker_says(book_shop: Any) -> None:
    book_shop.priced()
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="not all written yet"):
        book_shop.run(
            "INSERT INTO pricing.books (inputs_hash, dataset, snapshot_id, model_name, model_version, run_id, policy,"
            " currency, terms) SELECT 'h', dataset, snapshot_id, 'demand', 1, 'r', '{}', 'EUR', '{}'"
            " FROM data.snapshots;"
            "SELECT pricing.stage_prices(max(book_id)) FROM pricing.books;"
            "SELECT pricing.submit_book(max(book_id), '{}', 'review', '1 day') FROM pricing.books"
        )


def test_a_staged_book_takes_rows_until_it_is_attached_and_none_after(book_shop: Any) -> None:
    priced, _ = book_shop.priced()
    table = f"pricing.personal_prices_{priced.book.book_id}"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        book_shop.run(f"INSERT INTO {table} SELECT * FROM {table}")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        book_shop.run(f"UPDATE {table} SET price = upper")
