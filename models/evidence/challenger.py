"""What the explored offers of the held-out part say of a challenger's prices: more than the champion's, or not."""

from dataclasses import dataclass
from typing import Protocol

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

        `live` has the price and uniform_price that each step is counted from.
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


def off_policy_figures(
    split: Split, challenger: Contender, champion: Contender | None, policy: PricingPolicy, currency: str
) -> dict[str, float]:
    """Compare the challenger's prices with the champion's, or without one with the logged prices; in money an offer.

    Both price the held-out offers whose price was drawn with a known density, under the same policy; the champion's
    prices are those that the challenger's steps are counted from. A value is what the policy maximises: profit plus
    its satisfaction weight × consumer surplus. The outcome model is the challenger's demand model, which has not seen
    these offers, corrected on other users' ones. Offers without a density, and those of users without consent, whose
    price nobody draws, are not used; `off_policy_offers` and `off_policy_offers_without_density` count them.

    Only those two figures are there where nothing can be compared.
    """
    is_explored = _is_explored(split.test)
    counts = {
        "off_policy_offers": float(is_explored.sum()),
        "off_policy_offers_without_density": float((split.test.consent & ~is_explored).sum()),
    }
    lowest, highest = _support(split)
    rows = is_explored & (highest > lowest)
    if not rows.any():
        return counts
    standing = champion.prices(rows, policy, currency)[0] if champion else None
    prices, curve = challenger.prices(rows, policy, currency, standing)
    priced = prices["price"].notna().to_numpy()
    if standing is not None:
        priced = priced & standing["price"].notna().to_numpy()
    if not priced.any():
        return counts
    rows[rows] = priced
    offers = _offers(split.test, rows, lowest[rows], highest[rows])
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


def _offers(test: Decisions, rows: Flags, lowest: Array, highest: Array) -> ExploredOffers:
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
        lowest=lowest,
        highest=highest,
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


def _support(split: Split) -> tuple[Array, Array]:
    """Lowest and highest ratio drawn (test rows,): of the product, or of all products where it has few draws."""
    drawn = pd.concat(
        [
            pd.DataFrame({"product": part.frame["product_id"], "ratio": part.price_ratio})[_is_explored(part)]
            for part in split
        ]
    )
    ranges = drawn.groupby("product")["ratio"].agg(["min", "max", "size"])
    known = ranges[ranges["size"] >= LEAST_OF_PRODUCT].reindex(split.test.frame["product_id"])
    lowest, highest = known["min"].fillna(drawn["ratio"].min()), known["max"].fillna(drawn["ratio"].max())
    return lowest.to_numpy("float64"), highest.to_numpy("float64")
