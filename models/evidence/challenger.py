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
from models.evidence.support import Support, held, is_explored, tried_range
from models.features.decisions import Decisions, Split
from models.pricing.decide import price_decisions
from models.pricing.policy import PricingPolicy
from models.pricing.shadow_prices import BookTerms

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


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

    @property
    def curve(self) -> DemandCurve:
        """What the model says of all held-out offers."""
        return self.demand.curve(self.test)

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
    explored, support = is_explored(split.test), Support.of(split, policy.guardrails.price_grid(currency).spacing)
    counts = {
        "off_policy_offers": float(explored.sum()),
        "off_policy_offers_without_density": float((split.test.consent & ~explored).sum()),
    } | tried_range(split)
    contest = _Contest.of(split.test, explored & support.is_wide, support, challenger, champion, policy, currency)
    if contest is None:
        return counts
    if champion is None:
        return counts | _over_logged(contest, policy.satisfaction_weight, split.test)
    return counts | _over_champion(contest, policy.satisfaction_weight)


@dataclass(frozen=True)
class _Contest:
    """The offers that are compared on, what each contender would ask there (challenger first), and the outcome model.

    `priced` is the share of the explored offers for which all of them have a price.
    """

    offers: ExploredOffers
    targets: tuple[Target, ...]
    outcome: DemandCurve
    priced: float

    @classmethod
    def of(
        cls,
        test: Decisions,
        rows: Flags,
        support: Support,
        challenger: Contender,
        champion: Contender | None,
        policy: PricingPolicy,
        currency: str,
    ) -> Self | None:
        """Return it on the chosen rows; None where nobody was shown a price near those asked."""
        if not rows.any():
            return None
        live = _steps_from(test, support, rows, None)
        standing = champion.prices(rows, policy, currency, live)[0] if champion else None
        prices, curve = challenger.prices(rows, policy, currency, _steps_from(test, support, rows, standing))
        asked = [table["price"].to_numpy("float64") for table in (prices, standing) if table is not None]
        priced: Flags = np.isfinite(np.stack(asked)).all(axis=0)
        if not priced.any():
            return None
        compared = np.zeros_like(rows)
        compared[np.flatnonzero(rows)[priced]] = True
        offers = _offers(test, compared, support)
        targets = tuple(kernel_target(offers, price[priced] / offers.list_price) for price in asked)
        if min(target.effective_sample(offers) for target in targets) == 0:
            return None
        return cls(offers, targets, cross_fitted(offers, curve.take(priced)), float(priced.mean()))


def _steps_from(test: Decisions, support: Support, rows: Flags, standing: pd.DataFrame | None) -> pd.DataFrame:
    """The live prices of the chosen rows' quotes; for other offers the standing prices, where there are any."""
    columns = {}
    for name in ("price", "uniform_price"):
        live = held(test, f"live_{name}")[rows]
        columns[name] = live if standing is None else np.where(support.is_own[rows], live, standing[name])
    return pd.DataFrame(columns, test.frame.index[: len(live)])


def _over_champion(contest: _Contest, satisfaction: float) -> dict[str, float]:
    offers, (challenger, champion) = contest.offers, contest.targets
    new, old = (doubly_robust(offers, target, contest.outcome) for target in contest.targets)
    surplus = surplus_uplift(offers, challenger.ratio, champion.ratio, contest.outcome)
    by_weights = self_normalised(offers, challenger) - self_normalised(offers, champion)
    figures = _uplift(new - old + surplus.times(satisfaction))
    figures |= {"off_policy_profit": new.value, "off_policy_profit_before": old.value}
    return figures | _profit_uplift(new - old, by_weights) | _diagnostics(contest)


def _over_logged(contest: _Contest, satisfaction: float, test: Decisions) -> dict[str, float]:
    """Compare with the logged prices of the same offers, and with those of all offers; the lower uplift counts.

    Where a log gives a density to drawn prices alone, the usual ones stand on the other offers.
    """
    offers, (target,) = contest.offers, contest.targets
    surplus = surplus_uplift_over_logged(offers, target.ratio, contest.outcome).times(satisfaction)
    new, by_weights = doubly_robust(offers, target, contest.outcome), self_normalised(offers, target)
    logged = self_normalised(offers, logged_policy(offers)), _logged_profit(test)
    old = min(logged, key=lambda old: (new - old).bounds[0])
    figures = _uplift(new - old + surplus)
    figures |= {"off_policy_profit": new.value, "off_policy_profit_before": old.value}
    return figures | _profit_uplift(new - old, by_weights - old) | _diagnostics(contest)


def _uplift(uplift: Estimate) -> dict[str, float]:
    low, high = uplift.bounds
    return {"off_policy_uplift": uplift.value, "off_policy_uplift_low": low, "off_policy_uplift_high": high}


def _profit_uplift(doubly_robust: Estimate, self_normalised: Estimate) -> dict[str, float]:
    return {
        "off_policy_profit_uplift": doubly_robust.value,
        "off_policy_profit_uplift_by_weights": self_normalised.value,
        "off_policy_profit_uplift_by_weights_low": self_normalised.bounds[0],
    }


def _diagnostics(contest: _Contest) -> dict[str, float]:
    """Of the worse one of the policies: effective offers, mean weight, and the share of prices inside the support.

    The gap of a mean weight is its distance from 1 beyond two standard errors.
    """
    offers, targets = contest.offers, contest.targets
    means = [target.mean_weight(offers) for target in targets]
    gaps = [max(abs(mean.value - 1) - 2 * mean.standard_error, 0.0) for mean in means]
    return {
        "off_policy_effective_sample": min(target.effective_sample(offers) for target in targets),
        "off_policy_mean_weight": max((mean.value for mean in means), key=lambda value: abs(value - 1)),
        "off_policy_mean_weight_gap": max(gaps),
        "off_policy_coverage": min(float(target.is_covered.mean()) for target in targets) * contest.priced,
    }


def _offers(test: Decisions, rows: Flags, support: Support) -> ExploredOffers:
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
