import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.pricing.presets import tightened_for_cold_start
from tests.benchmarks.closed_loop import WEEK, Loop, broken, is_done, measure, own_prices, policy, unrandomised
from tests.benchmarks.closed_loop_report import drawn, markdown, reached
from tests.benchmarks.storefront import rounds_of_events, visit_rounds

SMALL = Loop(users=200, products=8, logged=100, weekly=60, cycles=2)


@pytest.fixture(scope="module")
def week():
    live = SMALL.market(seed=0)
    return live, live.visits(live.opens_at, live.opens_at + WEEK)


def quotes_at(visits, ratio: np.ndarray) -> pd.DataFrame:
    price = ratio * visits.list_price
    return own_prices(visits).assign(
        price=price, uniform_price=price, lower=price, upper=price, source="personal", propensity=1.0, live_price=price
    )


def test_the_log_has_as_many_offers_a_product_as_asked_for_and_no_density():
    live = SMALL.market(seed=0)
    offers = live.tables(live.opens_at)["offers"]
    assert offers["propensity"].notna().all()
    logged = unrandomised(offers, SMALL.logged * SMALL.products, seed=0)
    assert len(logged) == min(len(offers), 800)
    assert logged["propensity"].isna().all()
    assert not logged["randomised"].any()
    assert logged["offered_at"].max() > live.opens_at - WEEK  # thinned over the whole time


def test_the_best_prices_are_all_of_the_best_profit_and_others_less(week):
    live, visits = week
    cost = visits.frame["unit_cost"].to_numpy("float64")
    best = measure(live.market, visits, quotes_at(visits, live.market.oracle(visits)), policy())
    assert best["profit_of_open"] == pytest.approx(1)
    assert best["profit_of_policy"] >= 1  # the policy holds its own best prices back
    assert best["profit_of_uniform"] > best["profit_of_policy"]  # as one price for everybody does
    at_list = measure(live.market, visits, quotes_at(visits, np.ones(len(visits))), policy())
    assert at_list["profit_of_policy"] == pytest.approx(at_list["list_price_of_policy"])
    assert at_list["profit_of_policy"] < 0.95
    near_cost = measure(live.market, visits, quotes_at(visits, 1.1 * cost / visits.list_price), policy())
    assert near_cost["profit_of_open"] < at_list["profit_of_open"]


def test_where_goods_cost_nothing_profit_is_revenue():
    live = replace(SMALL, cost_percent=0).market(seed=0)
    visits = live.visits(live.opens_at, live.opens_at + WEEK)
    found = measure(live.market, visits, quotes_at(visits, np.ones(len(visits))), policy())
    for best in ("policy", "uniform"):
        assert found[f"profit_of_{best}"] == pytest.approx(found[f"revenue_of_{best}"])
    tables = live.tables(live.opens_at)
    assert not tables["products"]["unit_cost"].any()
    assert not tables["offers"]["unit_cost"].any()


def test_prices_beyond_a_rule_their_interval_or_a_step_are_violations(week):
    _, visits = week
    fair = quotes_at(visits, np.ones(len(visits)))
    fair[["price", "lower", "upper", "live_price"]] = fair[["price", "lower", "upper", "live_price"]].round(2)
    assert broken(fair, policy()) == 0
    assert broken(fair.assign(upper=fair["lower"] - 1), policy()) == len(fair)
    assert broken(fair.assign(live_price=fair["price"] * 0.8), policy()) == len(fair)
    dear = fair.assign(price=(fair["list_price"] * 1.2).round(2), lower=0.0, upper=np.inf, live_price=np.nan)
    assert broken(dear, policy()) == 0
    assert broken(dear, tightened_for_cold_start(policy())) == len(dear)  # at most 5 % above list


def test_events_are_told_before_the_visit_that_they_precede():
    at = pd.Timestamp("2025-01-06", tz="UTC") + pd.to_timedelta([1, 1, 5, 2], unit="h")
    visits = pd.DataFrame({"user_id": ["a", "a", "a", "b"], "decided_at": at})
    rounds = visit_rounds(visits)
    assert rounds.tolist() == [0, 0, 1, 0]
    happened = pd.Timestamp("2025-01-06", tz="UTC") + pd.to_timedelta([6, 0, 1, 3, 3, 0], unit="h")
    events = pd.DataFrame({"user_id": ["a", "a", "a", "a", "b", "c"], "occurred_at": happened})
    assert rounds_of_events(events, visits, rounds).tolist() == [2, 0, 1, 1, 2, 2]


def records() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seed": seed, "cycle": cycle, "learnt_a_product": 500 + 250 * cycle, "quoted_a_product": 250 * cycle,
            "profit_of_held": 0.95, "profit_of_policy": 0.8 + 0.01 * cycle, "profit_of_open": 0.7,
            "list_price_of_policy": 0.75, "revenue_of_policy": 0.9, "revenue_of_dearest": 0.85, "randomised": 0.1,
            "profit_of_uniform": 1.02, "revenue_of_uniform": 0.97,
            "violations": 0.0, "promoted": cycle != 1, "failed": "" if cycle != 1 else "no uplift",
            "cold_start": cycle == 0,
            "price_slope_on_randomised": np.nan if cycle == 0 else 1.5,
        }
        for seed in (0, 1) for cycle in range(4)
    )  # fmt: skip


def test_the_report_tells_what_was_reached_and_what_was_not():
    at_500 = reached(records(), "learnt_a_product", 500)
    assert at_500["cycle"].tolist() == [0, 0]
    assert reached(records(), "quoted_a_product", 500)["cycle"].tolist() == [2, 2]
    assert reached(records(), "learnt_a_product", 2_000).empty
    text = markdown(records())
    assert "| 500 | log and quotes | 2 | 80.0% | 90.0% | 102.0% | 97.0% | 85.0% |" in text
    assert "| 2,000 | quotes alone | 0 | not reached" in text
    assert "- seed 1, week 1: no uplift" in text
    assert len(drawn(records()).axes) == 3


def test_a_seed_is_done_when_all_its_cycles_of_this_size_are_there(tmp_path: Path):
    file = tmp_path / "seed-0.json"
    assert not is_done(file, SMALL)
    size = asdict(SMALL)
    for cycles, done in (([{}], False), ([{}, {}], True)):
        file.write_text(json.dumps({"loop": size, "cycles": cycles}))
        assert is_done(file, SMALL) == done
    assert not is_done(file, Loop())


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_loop_closes_on_the_real_path(stopped_home: Path):
    """Two weeks: what was quoted and answered in the first comes back, with its densities, to the second."""
    results = stopped_home.parent / "loop"  # a folder that the account of Postgres may enter
    size = "--users 1000 --products 20 --cycles 2 --seeds 1"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PRICING_", "PREFECT_"))}
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.closed_loop", "--results", str(results), *size.split()],
        env=environment | {"OMP_NUM_THREADS": "1"}, check=True, timeout=1_500,
    )  # fmt: skip
    first, second = json.loads((results / "report" / "closed_loop.json").read_text())
    assert first["violations"] == second["violations"] == 0
    assert first["off_policy_offers"] == 0  # a cold start
    assert first["cold_start"]
    assert first["randomised"] > 0.05
    assert second["off_policy_offers"] > 0
    assert (results / "report" / "closed_loop.png").exists()
