"""Checks on a sample of a challenger's prices before any goes live: its guardrails, parity, and the flip of a group."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evidence.challenger import Contender
from models.features.decisions import Decisions
from models.pricing.book_request import BookRequest
from models.pricing.fairness import price_parity
from models.pricing.policy import Guardrails, Portfolio, PricingPolicy
from models.pricing.price_book import price_book

Array = NDArray[np.float64]

PROTECTED_GROUP = "protected_group"
_SLACK = 1e-9  # a bound such as cost × 1.1 is met to within the rounding of a float
# Other rows are refused for what their tables say; these for what the model says.
_FAULTS = ("invalid_demand_curve", "invalid_uniform_demand_curve", "price_out_of_range")


def check_prices(
    challenger: Contender, policy: PricingPolicy, currency: str, group: pd.Series, protected: pd.Series
) -> dict[str, float]:
    """Price the sample and count what must not be; `group` and `protected` (rows,) are compared, never priced by.

    Returns priced_sample and refused_by_fault (rows), guardrail_violations (prices beyond a bound, counted once a
    rule), protected_group_changes (prices that move when everyone's protected group is another one), parity_gap,
    and parity_bound where the policy sets one. The parity is that of the prices as a book would have them, within
    the bound's band.
    """
    request = _request(challenger, policy, currency, group)
    prices = price_book(request).prices
    everyone = np.ones(len(challenger.test), dtype=bool)
    alone = [
        replace(challenger, test=_as_members(challenger.test, members)).prices(everyone, policy, currency)[0]["price"]
        for members in (protected, _flipped(protected))
    ]
    figures = {
        "priced_sample": float(prices["price"].notna().sum()),
        "refused_by_fault": float(prices["refused"].isin(_FAULTS).sum()),
        "guardrail_violations": float(violations(challenger.test.frame, prices, policy, currency).to_numpy().sum()),
        "protected_group_changes": float((alone[0].fillna(-1) != alone[1].fillna(-1)).sum()),
        "parity_gap": price_parity(prices, challenger.test.frame["user_id"], group).gap,
    }
    bound = policy.fairness.parity_bound
    return figures if bound is None else figures | {"parity_bound": bound}


def violations(terms: pd.DataFrame, prices: pd.DataFrame, policy: PricingPolicy, currency: str) -> pd.DataFrame:
    """Return which prices are beyond each rule (rows, rules), by a reading that shares nothing with their making."""
    price, uniform = (prices[name].to_numpy("float64") for name in ("price", "uniform_price"))
    priced = prices["refused"].isna().to_numpy()
    limits = {
        "not_a_price": ~(np.isfinite(price) & (price > 0)),
        "floor": price < terms["floor"].to_numpy("float64") * (1 - _SLACK),
        "ceiling": price > terms["ceiling"].to_numpy("float64") * (1 + _SLACK),
        **dict(_of_policy(terms, price, uniform, policy.guardrails)),
    }
    grid = policy.guardrails.price_grid(currency)
    limits["price_ending"] = np.abs(grid.price(grid.rung_at_or_below(price + _SLACK * price)) - price) > _SLACK * price
    return pd.DataFrame({rule: is_beyond & priced for rule, is_beyond in limits.items()})


def _of_policy(
    terms: pd.DataFrame, price: Array, uniform: Array, rails: Guardrails
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    cost, list_price = (terms[name].to_numpy("float64") for name in ("unit_cost", "list_price"))
    if rails.minimum_margin is not None:
        yield "minimum_margin", price < cost * (1 + rails.minimum_margin) * (1 - _SLACK)
    if rails.maximum_markup is not None:
        yield "maximum_markup", price > list_price * (1 + rails.maximum_markup) * (1 + _SLACK)
    if rails.maximum_discount is not None:
        yield "maximum_discount", price < list_price * (1 - rails.maximum_discount) * (1 - _SLACK)
    if not rails.above_uniform:
        yield "above_uniform", price > uniform * (1 + _SLACK)


def _request(challenger: Contender, policy: PricingPolicy, currency: str, group: pd.Series) -> BookRequest:
    sample, demand = challenger.test, challenger.demand
    curves = demand.curve(sample), demand.curve(sample, personal=False)
    # Budgets and volumes are those of a whole book, which a sample has no share of.
    unlimited = policy.model_copy(update={"portfolio": Portfolio()})
    return BookRequest(sample.frame, *curves, unlimited, currency, group=group)


def _as_members(sample: Decisions, members: pd.Series) -> Decisions:
    """The sample with its users' protected group where no model should look."""
    return replace(sample, frame=sample.frame.assign(**{PROTECTED_GROUP: members.to_numpy()}))


def _flipped(members: pd.Series) -> pd.Series:
    """Everyone in the next group, the last group's in the first."""
    groups = sorted(members.dropna().astype(str).unique())
    return members.map(dict(zip(groups, [*groups[1:], *groups[:1]], strict=True)))
