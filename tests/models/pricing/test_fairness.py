import numpy as np
import pandas as pd
import pytest

from models.pricing.fairness import ParityTally, price_parity


def prices_of(ratio, uniform=10.0, demand=0.5) -> pd.DataFrame:
    ratio = np.asarray(ratio, dtype=float)
    return pd.DataFrame(
        {
            "price": ratio * uniform,
            "uniform_price": np.zeros(len(ratio)) + uniform,
            "purchase_probability": np.zeros(len(ratio)) + demand,
        }
    )


def test_means_are_relative_to_the_uniform_price_of_the_same_product():
    prices = prices_of([1.0, 0.9, 1.1, 0.8], uniform=np.array([1.0, 100.0, 1.0, 100.0]))
    report = price_parity(prices, pd.Series(list("abcd")), ["x", "x", "y", "y"])
    assert [group.mean for group in report.offered.groups] == pytest.approx([0.95, 0.95])
    assert report.offered.gap == pytest.approx(0)


def test_paid_prices_weigh_by_demand():
    prices = prices_of([0.8, 1.2, 1.0, 1.0], demand=np.array([0.9, 0.1, 0.5, 0.5]))
    report = price_parity(prices, pd.Series(list("abcd")), ["x", "x", "y", "y"])
    assert report.offered.gap == pytest.approx(0)
    assert report.demand_weighted.gap == pytest.approx(1 / 0.84 - 1)
    assert report.gap == report.demand_weighted.gap


def test_rows_without_a_group_or_a_price_are_left_out():
    prices = prices_of([1.0, np.nan, 1.0, 2.0])
    report = price_parity(prices, pd.Series(list("abcd")), ["x", "x", "y", None])
    assert [(group.group, group.decisions) for group in report.offered.groups] == [("x", 1), ("y", 1)]
    assert report.gap == 0


@pytest.mark.parametrize("groups", [[], [None] * 3])
def test_nothing_to_compare(groups):
    prices = prices_of([1.0] * len(groups))
    report = price_parity(prices, pd.Series(["u"] * len(groups)), groups)
    assert report.gap == 0
    assert report.to_dict()["offered"] == {"groups": (), "gap": 0.0}


def test_intervals_hold_the_truth_when_users_repeat():
    rng = np.random.default_rng(0)
    users, each, trials, covered = 150, 8, 300, 0
    for _ in range(trials):
        taste = np.repeat(rng.normal(0, 0.1, users), each)  # a user's prices move together
        prices = prices_of(0.9 + taste + rng.normal(0, 0.02, users * each))
        user_id = pd.Series(np.repeat(np.arange(users), each).astype(str))
        group = price_parity(prices, user_id, ["x"] * (users * each)).offered.groups[0]
        covered += group.low <= 0.9 <= group.high
        assert group.users == users
    assert 0.91 <= covered / trials <= 0.985


def test_blocks_of_prices_give_the_same_report():
    rng = np.random.default_rng(1)
    prices = prices_of(rng.uniform(0.7, 1, 90), uniform=rng.uniform(5, 50, 90), demand=rng.uniform(0.1, 0.9, 90))
    users, groups = pd.Series([f"u{row // 4}" for row in range(90)]), np.where(np.arange(90) // 4 % 2, "x", "y")
    tally = ParityTally()
    for start in range(0, 90, 7):  # which parts some users' rows
        rows = slice(start, start + 7)
        tally.add(prices.iloc[rows], users.iloc[rows], groups[rows])
    whole, apart = price_parity(prices, users, groups), tally.report()
    for one, other in zip(whole.offered.groups + whole.demand_weighted.groups,
                          apart.offered.groups + apart.demand_weighted.groups, strict=True):  # fmt: skip
        assert (one.group, one.users, one.decisions) == (other.group, other.users, other.decisions)
        assert [one.mean, one.low, one.high] == pytest.approx([other.mean, other.low, other.high], rel=1e-12)
