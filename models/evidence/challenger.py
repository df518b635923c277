"""What the explored offers of the held-out part say of a challenger's prices: more than the champion's, or not."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.demand_curve import DemandCurve
from models.evidence.off_policy import (
    Estimate,
    ExploredOffers,
    Target,
    cross_fitted,
    doubly_robust,
    kernel_target,
    logged_policy,
    self_normalised,
    surplus_uplift,
    surplus_uplift_over_logged,
)
from models.features.decisions import Decisions, Split
from models.pricing.decide import price_decisions
from models.pricing.policy import PricingPolicy
from models.pricing.shadow_prices import BookTerms

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_OF_PRODUCT = 100  # explored offers by which a product shows the range its prices are drawn from
LEAST_BEYOND = 50  # explored offers at a price or beyond it by which the price is explored


class Demand(Protocol):
    """A demand model, as far as prices need it."""

    def curve(self, decisions: Decisions, personal: bool = True) -> DemandCurve:
        """Return the demand curve of every decision."""
        ...


@dataclass(frozen=True)
class Contender:
    """A demand model, and the held-out offers with the content that its encoders read."""

    demand: Demand
    test: Decisions

    def prices(
        self, rows: Flags, policy: PricingPolicy, currency: str, live: pd.DataFrame | None = None
    ) -> tuple[pd.DataFrame, DemandCurve]:
        """Return unexplored prices of the chosen rows, each on its own, and the demand curves they came from.

        `live` has the price and uniform_price that each step is counted from, NaN where it is counted from nothing.
        """
        chosen = self.test.select(rows)
        curve, uniform_curve = self.demand.curve(chosen), self.demand.curve(chosen, personal=False)
        prices = price_decisions(
            chosen.frame, curve, uniform_curve, policy, currency,
            live_price=None if live is None else live["price"],
            live_uniform_price=None if live is None else live["uniform_price"],
            terms=BookTerms(),  # limits on a whole book say nothing of past offers
        )  # fmt: skip
        return prices, curve


@dataclass(frozen=True)
class _Support:
    """Between which ratios the price of each test offer was drawn, and over which width those of its product were.

    `is_own` says whether an offer's own ends are known; else they are the outermost of its product, or of all products
    where it has few draws. A price stands for all that round to it, so that the ends lie half of a `tick` further out.
    """

    lowest: Array
    highest: Array
    drawn_range: Array
    tick: Array
    is_own: Flags

    @property
    def is_wide(self) -> Flags:
        """Whether more than one price could be drawn."""
        return self.highest - self.lowest > 1.5 * self.tick

    @classmethod
    def of(cls, split: Split, spacing: float) -> Self:
        """Return it for prices that lie `spacing` apart, in money."""
        drawn = _drawn(split)
        ranges = drawn.groupby("product")["ratio"].agg(["min", "max", "size"])
        known = ranges[ranges["size"] >= LEAST_OF_PRODUCT].reindex(split.test.frame["product_id"])
        lowest = known["min"].fillna(drawn["ratio"].min()).to_numpy("float64")
        highest = known["max"].fillna(drawn["ratio"].max()).to_numpy("float64")
        own_lowest, own_highest = (_held(split.test, side) / split.test.list_price for side in ("lower", "upper"))
        is_own, tick = np.isfinite(own_lowest) & np.isfinite(own_highest), spacing / split.test.list_price
        return cls(
            np.where(is_own, own_lowest, lowest) - tick / 2, np.where(is_own, own_highest, highest) + tick / 2,
            highest - lowest, tick, is_own,
        )  # fmt: skip


def off_policy_figures(
    split: Split, challenger: Contender, champion: Contender | None, policy: PricingPolicy, currency: str
) -> dict[str, float]:
    """Compare the challenger's prices with the champion's, or without one with the logged prices; in money an offer.

    Both price the held-out offers whose price was drawn with a known density, under the same policy. An offer that was
    a quote tells by `held_lower` and `held_upper` between which prices its own was drawn, and by `held_live_price` and
    `held_live_uniform_price` what steps were counted from (money; NaN: unknown): a price beyond those is not covered
    and stands for the nearest that is. For other offers the range is their product's, and the challenger's steps
    are counted from the champion's prices. A value is what the policy maximises: profit plus
    its satisfaction weight × consumer surplus. The outcome model is the challenger's demand model, which has not seen
    these offers, corrected on other users' ones. Offers without a density, and those of users without consent, whose
    price nobody draws, are not used; `off_policy_offers` and `off_policy_offers_without_density` count them.

    Only those two are there where nothing can be compared, and `tried_lowest` and `tried_highest`, between which
    quotes have been drawn.
    """
    is_explored = _is_explored(split.test)
    counts = {
        "off_policy_offers": float(is_explored.sum()),
        "off_policy_offers_without_density": float((split.test.consent & ~is_explored).sum()),
    } | _tried_range(split)
    support = _Support.of(split, policy.guardrails.price_grid(currency).spacing)
    rows = is_explored & support.is_wide
    if not rows.any():
        return counts
    live = _steps_from(split.test, support, rows, None)
    standing = champion.prices(rows, policy, currency, live)[0] if champion else None
    live = _steps_from(split.test, support, rows, standing)
    prices, curve = challenger.prices(rows, policy, currency, live)
    priced = prices["price"].notna().to_numpy()
    if standing is not None:
        priced = priced & standing["price"].notna().to_numpy()
    if not priced.any():
        return counts
    rows[rows] = priced
    offers = _offers(split.test, rows, support)
    outcome = cross_fitted(offers, curve.take(priced))
    compared = (prices,) if standing is None else (prices, standing)
    targets = [
        kernel_target(offers, table["price"].to_numpy("float64")[priced] / offers.list_price) for table in compared
    ]
    if min(target.effective_sample(offers) for target in targets) == 0:  # nobody was shown a price near
        return counts
    share, satisfaction = float(priced.mean()), policy.satisfaction_weight
    if standing is None:
        return counts | _over_logged(offers, targets[0], outcome, satisfaction, split.test, share)
    return counts | _over_champion(offers, (targets[0], targets[1]), outcome, satisfaction, share)


def _steps_from(test: Decisions, support: _Support, rows: Flags, standing: pd.DataFrame | None) -> pd.DataFrame:
    """The live prices of the chosen rows' quotes; for other offers the standing prices, where there are any."""
    columns = {}
    for name in ("price", "uniform_price"):
        live = _held(test, f"live_{name}")[rows]
        columns[name] = live if standing is None else np.where(support.is_own[rows], live, standing[name])
    return pd.DataFrame(columns, test.frame.index[: len(live)])


def _over_champion(
    offers: ExploredOffers, targets: tuple[Target, Target], outcome: DemandCurve, satisfaction: float, priced: float
) -> dict[str, float]:
    new, old = (doubly_robust(offers, target, outcome) for target in targets)
    surplus = surplus_uplift(offers, targets[0].ratio, targets[1].ratio, outcome)
    by_weights = [self_normalised(offers, target) for target in targets]
    figures = _uplift(new - old + surplus.times(satisfaction))
    figures |= {"off_policy_profit": new.value, "off_policy_profit_before": old.value}
    figures |= _profit_uplift(new - old, by_weights[0] - by_weights[1])
    return figures | _diagnostics(offers, targets, priced)


def _over_logged(
    offers: ExploredOffers, target: Target, outcome: DemandCurve, satisfaction: float, test: Decisions, priced: float
) -> dict[str, float]:
    """Compare with the logged prices of the same offers, and with those of all offers; the lower uplift counts.

    Where a log gives a density to drawn prices alone, the usual ones stand on the other offers.
    """
    surplus = surplus_uplift_over_logged(offers, target.ratio, outcome).times(satisfaction)
    new, by_weights = doubly_robust(offers, target, outcome), self_normalised(offers, target)
    logged = self_normalised(offers, logged_policy(offers)), _logged_profit(test)
    old = min(logged, key=lambda old: (new - old).bounds[0])
    figures = _uplift(new - old + surplus)
    figures |= {"off_policy_profit": new.value, "off_policy_profit_before": old.value}
    return figures | _profit_uplift(new - old, by_weights - old) | _diagnostics(offers, (target,), priced)


def _uplift(uplift: Estimate) -> dict[str, float]:
    low, high = uplift.bounds
    return {"off_policy_uplift": uplift.value, "off_policy_uplift_low": low, "off_policy_uplift_high": high}


def _profit_uplift(doubly_robust: Estimate, self_normalised: Estimate) -> dict[str, float]:
    return {
        "off_policy_profit_uplift": doubly_robust.value,
        "off_policy_profit_uplift_by_weights": self_normalised.value,
        "off_policy_profit_uplift_by_weights_low": self_normalised.bounds[0],
    }


def _diagnostics(offers: ExploredOffers, targets: tuple[Target, ...], priced: float) -> dict[str, float]:
    """Of the worse one of the policies: effective offers, mean weight, and the share of prices inside the support.

    The gap of a mean weight is its distance from 1 beyond two standard errors.
    """
    means = [target.mean_weight(offers) for target in targets]
    gaps = [max(abs(mean.value - 1) - 2 * mean.standard_error, 0.0) for mean in means]
    return {
        "off_policy_effective_sample": min(target.effective_sample(offers) for target in targets),
        "off_policy_mean_weight": max((mean.value for mean in means), key=lambda value: abs(value - 1)),
        "off_policy_mean_weight_gap": max(gaps),
        "off_policy_coverage": min(float(target.is_covered.mean()) for target in targets) * priced,
    }


def _offers(test: Decisions, rows: Flags, support: _Support) -> ExploredOffers:
    users, names = pd.factorize(test.frame["user_id"])
    frame = test.frame.loc[rows]
    return ExploredOffers(
        ratio=test.price_ratio[rows],
        density=frame["propensity"].to_numpy("float64"),
        purchased=test.purchased[rows],
        list_price=test.list_price[rows],
        unit_cost=frame["unit_cost"].to_numpy("float64"),
        units=_units(test)[rows],
        weight=test.weight[rows],
        user=users[rows].astype("int64"),
        users=len(names),
        lowest=support.lowest[rows],
        highest=support.highest[rows],
        drawn_range=support.drawn_range[rows],
        tick=support.tick[rows],
    )


def _logged_profit(test: Decisions) -> Estimate:
    users, names = pd.factorize(test.frame["user_id"])
    frame, asked = test.frame, test.consent
    profit = _units(test) * (frame["price"] - frame["unit_cost"]).to_numpy("float64") * test.purchased
    return Estimate.mean(profit[asked], test.weight[asked], users[asked].astype("int64"), len(names))


def _units(test: Decisions) -> Array:
    if "quantity" not in test.frame:
        return np.ones(len(test))
    return test.frame["quantity"].to_numpy("float64", na_value=1.0)


def _is_explored(offers: Decisions) -> Flags:
    if "propensity" not in offers.frame:
        return np.zeros(len(offers), dtype=bool)
    return np.asarray((offers.frame["propensity"].to_numpy("float64", na_value=np.nan) > 0) & offers.consent)


def _held(offers: Decisions, name: str) -> Array:
    """What is known of the quote that an offer was, in money; NaN for offers made elsewhere."""
    column = f"held_{name}"
    return offers.frame[column].to_numpy("float64") if column in offers.frame else np.full(len(offers), np.nan)


def _drawn(split: Split) -> pd.DataFrame:
    """Product and ratio of all offers whose price was drawn with a known density."""
    return pd.concat(
        [
            pd.DataFrame({"product": part.frame["product_id"], "ratio": part.price_ratio})[_is_explored(part)]
            for part in split
        ]
    )


def _tried_range(split: Split) -> dict[str, float]:
    """Lowest and highest ratio that quotes were drawn at or beyond often enough; 1 where none was."""
    quoted = [part.price_ratio[_is_explored(part) & np.isfinite(_held(part, "lower"))] for part in split]
    ratio = np.sort(np.concatenate(quoted))
    ends = (ratio[LEAST_BEYOND - 1], ratio[-LEAST_BEYOND]) if len(ratio) >= LEAST_BEYOND else (1.0, 1.0)
    return {"tried_lowest": float(min(ends[0], 1.0)), "tried_highest": float(max(ends[1], 1.0))}
