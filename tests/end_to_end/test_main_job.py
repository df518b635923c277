"""The main job by the command a person types, on a small folder of the contract's tables."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from tasks.servers.environment import answers
from tasks.servers.ports import free_port

Execute = Callable[[str, str], list[tuple[object, ...]]]


SOURCE_PASSWORD = "a-wrong-one-but-a-secret"
MLFLOW_PASSWORD = "known-to-nobody-else"  # of no server: the registry of these tests is a database


class Shop:
    """A home in which the main job has run, and the command to go on with."""

    def __init__(self, home: Path, database_url: str, folder: Path) -> None:
        self.database_url, self.folder = database_url, folder
        self.environment = os.environ | {
            "PRICING_HOME": str(home),
            "PRICING_DATABASE_URL": database_url,
            "COLUMNS": "200",
            "MLFLOW_TRACKING_PASSWORD": MLFLOW_PASSWORD,
        }

    def pricing(self, *arguments: str, fails: bool = False) -> str:
        """Run the command; returns what it printed on both streams."""
        program = Path(sys.executable).parent / "pricing"
        done = subprocess.run(
            [program, *arguments], env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, *arguments: str, fails: bool = False) -> str:
        """The main job on this shop's folder."""
        return self.pricing(
            "run", "--source", "files", "--path", str(self.folder), "--currency", "EUR", *arguments, fails=fails
        )


@pytest.fixture(scope="module")
def shop_with_prices(
    module_database_url: str, shop_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Shop, str]]:
    shop = Shop(tmp_path_factory.mktemp("home"), module_database_url, shop_folder)
    yield shop, shop.run()


def test_the_run_ends_with_a_live_book(shop_with_prices: tuple[Shop, str], execute: Execute) -> None:
    shop, printed = shop_with_prices
    assert "Book 1 is live" in printed
    assert "Traceback" not in printed
    ((state, personal, uniform, version),) = execute(
        shop.database_url,
        "SELECT state, personal_rows, uniform_rows, model_version FROM pricing.price_books WHERE is_live",
    )
    assert (state, uniform, version) == ("published", 12, 1)
    assert personal == 135 * 12  # those who consent, by every product


def test_the_password_of_a_source_is_told_neither_where_it_is_read_nor_where_it_cannot_be(
    shop_with_prices: tuple[Shop, str], learnable_shop: dict[str, pd.DataFrame], execute: Execute
) -> None:
    shop, _ = shop_with_prices
    engine = create_engine(shop.database_url)
    for table, frame in learnable_shop.items():
        frame.to_sql(table, engine, index=False)
    engine.dispose()
    read = make_url(shop.database_url)  # its password is among those that the next test looks for
    asked = ["backfill", "--source", "database", "--currency", "EUR", "--from", "2026-01-01", "--to", "2026-04-02"]
    shop.environment["PRICING_SOURCE_URL"] = read.render_as_string(hide_password=False)
    assert "offers 12,000" in shop.pricing(*asked, "--step-days", "100")
    shop.environment["PRICING_SOURCE_URL"] = read.set(password=SOURCE_PASSWORD).render_as_string(hide_password=False)
    printed = shop.pricing(*asked, fails=True)
    del shop.environment["PRICING_SOURCE_URL"]
    assert "cannot be read" in printed
    for table in learnable_shop:
        execute(shop.database_url, f"DROP TABLE public.{table}")
    assert SOURCE_PASSWORD not in printed
    assert str(read.password) not in printed


def test_no_secret_is_told(shop_with_prices: tuple[Shop, str], execute: Execute) -> None:
    shop, printed = shop_with_prices
    home = Path(shop.environment["PRICING_HOME"])
    database = str(make_url(shop.database_url).password)
    secrets = [database, MLFLOW_PASSWORD, SOURCE_PASSWORD]
    assert len(database) > 10
    written = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert written
    for secret in secrets:
        assert secret not in printed
        assert not any(secret.encode() in text for text in written)
    told = 0
    for companion in ("prefect", "mlflow"):  # parameters, artifacts and logs of flow runs; the registry's pages
        url = f"{shop.database_url}_{companion}"
        for (table,) in execute(url, "SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'"):
            told += int(str(execute(url, f"SELECT count(*) FROM {table}")[0][0]))
            for secret in secrets:
                found = execute(url, f"SELECT 1 FROM {table} AS kept WHERE strpos(kept::text, '{secret}') > 0 LIMIT 1")
                assert found == [], f"{companion}.{table}"
    assert told > 100
    runs = "SELECT count(*) FROM flow_run WHERE parameters::text LIKE '%files%'"
    assert execute(f"{shop.database_url}_prefect", runs) != [(0,)], "the parameters are there to be looked at"
    assert execute(f"{shop.database_url}_prefect", "SELECT count(*) > 0 FROM log") == [(True,)]
    assert execute(f"{shop.database_url}_prefect", "SELECT count(*) > 0 FROM artifact") == [(True,)]


def test_what_is_kept_for_a_rerun_is_gone_when_all_is_done(shop_with_prices: tuple[Shop, str]) -> None:
    shop, _ = shop_with_prices
    home = Path(shop.environment["PRICING_HOME"])
    assert [list((home / kept).iterdir()) for kept in ("fits", "candidates")] == [[], []]


def test_quote_answers_from_the_live_book(shop_with_prices: tuple[Shop, str], execute: Execute) -> None:
    shop, _ = shop_with_prices
    ((user, product, price),) = execute(
        shop.database_url, "SELECT user_id, product_id, price FROM pricing.live_prices ORDER BY 1, 2 LIMIT 1"
    )
    printed = shop.pricing("quote", str(user), str(product))
    assert f"{price} EUR (personal)" in printed
    assert f"{float(price):.2f}  shown" in printed  # computed again, step by step
    assert "Against the uniform price" in printed
    stranger = shop.pricing("quote", "u000", str(product))
    assert "(uniform)" in stranger
    assert "has not consented" in stranger
    assert "product nothing is unknown" in shop.pricing("quote", str(user), "nothing", fails=True)


def test_requests_are_priced_as_the_champion_would(shop_with_prices: tuple[Shop, str], tmp_path: Path) -> None:
    shop, _ = shop_with_prices
    requests = tmp_path / "requests.csv"
    requests.write_text(
        "request_id,user_id,product_id,requested_at,context_device,ceiling\n"
        "r2,u001,p01,2026-04-02T10:00:00Z,phone,\n"
        "r1,u000,p01,2026-04-02T10:00:00Z,phone,\n"
        "r3,u001,p01,2026-04-02T10:00:00Z,phone,1.5\n"
    )
    out = tmp_path / "prices.csv"
    shop.pricing("quote", "--requests", str(requests), "--out", str(out))
    prices = pd.read_csv(out).set_index("request_id")
    assert list(prices.columns) == [
        "price", "uniform_price", "purchase_probability", "elasticity", "lower", "upper", "reasons", "book_id",
        "model_version",
    ]  # fmt: skip
    assert list(prices.index) == ["r2", "r1", "r3"]
    assert prices.loc["r1", "price"] == prices.loc["r1", "uniform_price"]
    assert "no_consent" in json.loads(prices.loc["r1", "reasons"])
    assert prices.loc["r2", "lower"] <= prices.loc["r2", "price"] <= prices.loc["r2", "upper"]
    assert pd.isna(prices.loc["r3", "price"])  # its own ceiling lies below cost
    assert "conflicts" in prices.loc["r3", "reasons"]


def test_the_registry_holds_champion_card_and_plots(shop_with_prices: tuple[Shop, str]) -> None:
    shop, _ = shop_with_prices
    looked_up = subprocess.run(
        [sys.executable, "-c", LOOK_UP], env=shop.environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert looked_up.returncode == 0, looked_up.stderr
    found = json.loads(looked_up.stdout.splitlines()[-1])
    assert found["champion"] == found["challenger"] == 1
    assert "## Held-out weeks" in found["card"]
    assert {"calibration.png", "price_response.png", "elasticity.png", "log_loss.png"} <= set(found["plots"])
    pages = {"book.md", "parity.json", "price_response.png", "price_distribution.png", "parity_by_group.png"}
    assert pages | {"profit_satisfaction_frontier.png"} == set(found["book"])
    assert found["gates"] == "passed"
    assert found["price"] == pytest.approx(found["requested"])


LOOK_UP = """
import json, os
from tasks.servers.environment import environment
from tasks.settings import Settings
os.environ.update(environment(Settings()))
import mlflow, pandas as pd
client = mlflow.MlflowClient()
champion = client.get_model_version_by_alias("demand", "champion")
served = mlflow.pyfunc.load_model("models:/demand@champion")
request = {"request_id": ["r"], "user_id": ["u001"], "product_id": ["p01"], "requested_at": ["2026-04-02T10:00:00Z"]}
first = served.predict(pd.DataFrame(request))
again = served.predict(pd.DataFrame(request))
print(json.dumps({
    "champion": int(champion.version),
    "challenger": int(client.get_model_version_by_alias("demand", "challenger").version),
    "card": champion.description,
    "gates": champion.tags["gates"],
    "plots": [file.path.removeprefix("plots/") for file in client.list_artifacts(champion.run_id, "plots")],
    "book": [file.path.removeprefix("book/1/") for file in client.list_artifacts(champion.run_id, "book/1")],
    "price": float(first["price"].iloc[0]),
    "requested": float(again["price"].iloc[0]),
}))
"""


def test_the_champion_answers_over_http_with_the_same_prices(
    shop_with_prices: tuple[Shop, str], tmp_path: Path
) -> None:
    shop, _ = shop_with_prices
    requests = pd.DataFrame(
        {
            "request_id": ["r2", "r1", "r3"],
            "user_id": ["u001", "u000", "u007"],
            "product_id": ["p01", "p01", "p05"],
            "requested_at": ["2026-04-02T10:00:00Z"] * 3,
            "context_device": ["phone", "phone", "desktop"],
        }
    )
    requests.to_csv(tmp_path / "requests.csv", index=False)
    shop.pricing("quote", "--requests", str(tmp_path / "requests.csv"), "--out", str(tmp_path / "prices.csv"))
    expected = pd.read_csv(tmp_path / "prices.csv")
    with served_champion(shop.environment, tmp_path / "served.log") as address:
        posted = Request(
            f"{address}/invocations",
            json.dumps({"dataframe_split": requests.to_dict("split", index=False)}).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(posted, timeout=60) as response:
            answered = pd.DataFrame(json.load(response)["predictions"])
    assert answered["request_id"].tolist() == requests["request_id"].tolist()
    for name in ("price", "uniform_price", "purchase_probability", "elasticity", "lower", "upper"):
        assert answered[name].tolist() == expected[name].tolist()
    assert answered["reasons"].tolist() == expected["reasons"].map(json.loads).tolist()


@contextmanager
def served_champion(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of `mlflow models serve` on the champion of a home."""
    port = free_port(None)
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(port)],
            env=environment, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(240):
            if answers(f"http://127.0.0.1:{port}/ping"):
                break
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
        else:
            pytest.fail(log.read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


SERVE = """
import os, sys
from tasks.servers.environment import environment
from tasks.settings import Settings
os.environ.update(environment(Settings()))
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]  # MLflow calls uvicorn by name
serve = ["models", "serve", "-m", "models:/demand@champion", "--env-manager", "local", "-h", "127.0.0.1", "-p"]
os.execv(sys.executable, [sys.executable, "-m", "mlflow", *serve, sys.argv[1]])
"""


def test_the_same_run_again_changes_nothing(shop_with_prices: tuple[Shop, str], execute: Execute) -> None:
    shop, _ = shop_with_prices
    before = execute(shop.database_url, "SELECT count(*) FROM pricing.books")
    printed = shop.run()
    assert "nothing to train" in printed
    assert "nothing to publish" in printed
    assert execute(shop.database_url, "SELECT count(*) FROM pricing.books") == before


def test_another_policy_publishes_another_book_and_rollback_returns(
    shop_with_prices: tuple[Shop, str], tmp_path: Path, execute: Execute
) -> None:
    shop, _ = shop_with_prices
    policy = tmp_path / "policy.toml"
    policy.write_text("satisfaction_weight = 0.5\n[guardrails]\nminimum_margin = 0.1\n")
    assert "Book 2 is live" in shop.run("--policy", str(policy))
    listed = shop.pricing("books")
    assert "live" in listed
    assert "Book 1 is live" in shop.pricing("rollback")
    assert execute(shop.database_url, "SELECT action FROM pricing.ledger ORDER BY entry_id") == [
        ("publish",), ("publish",), ("rollback",),
    ]  # fmt: skip
    assert "verifies (3 entries)" in shop.pricing("verify")


def test_mistakes_end_in_one_clear_line(shop_with_prices: tuple[Shop, str], tmp_path: Path) -> None:
    shop, _ = shop_with_prices
    for arguments, said in [
        (["run", "--policy", "cheapest"], "neither a preset"),
        (["run", "--source", "files", "--path", str(tmp_path / "nowhere")], "nowhere"),
        (["quote", "--requests", "requests.xlsx", "--out", "out.csv"], "requests.xlsx"),
        (["rollback", "99"], "book 99"),
        (["run", "--source", "files"], "files need a path"),
        (["run", "--currency", "euro"], "currency"),
    ]:
        printed = shop.pricing(*arguments, fails=True)
        assert said in printed
        assert "Traceback" not in printed


def test_a_book_that_cannot_keep_its_limit_is_not_published(
    shop_with_prices: tuple[Shop, str], tmp_path: Path, execute: Execute
) -> None:
    shop, _ = shop_with_prices
    live = execute(shop.database_url, "SELECT book_id FROM pricing.live")
    policy = tmp_path / "policy.toml"
    policy.write_text("[portfolio]\nminimum_volume = 1000000.0\n")
    printed = shop.run("--policy", str(policy), fails=True)
    assert "is not published: minimum_volume is" in printed
    assert execute(shop.database_url, "SELECT book_id FROM pricing.live") == live
