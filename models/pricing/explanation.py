"""Why one user's price differs from the uniform price: each kind of personal data, in words and in money."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from models.demand.demand_curve import DemandCurve
from models.demand.fitted import FittedDemand
from models.features.decisions import CONTEXT_PREFIXES, PAIR_PREFIXES, Decisions
from models.pricing.objective import Objective
from models.pricing.policy import PricingPolicy
from models.pricing.shadow_prices import BookTerms, ChargedObjective, ShadowPrices

SMALLEST = 0.005  # in money: less than this shows as nothing
BEHAVIOUR = "recent behaviour"
# Kinds of personal data, each with the prefixes of its feature columns; behaviour has the events themselves too.
PERSONAL_DATA: dict[str, tuple[str, ...]] = {
    BEHAVIOUR: ("activity_",),
    "attributes of the user": ("user_attr_",),
    "history with this product and its category": PAIR_PREFIXES,
}


@dataclass(frozen=True)
class Reason:
    """What something known, or some rule, adds to a price; in money, negative where it lowers the price."""

    name: str
    effect: float


@dataclass(frozen=True)
class PriceReasons:
    """``personal`` add up to the price less the uniform price; ``shared`` move everybody's price alike."""

    personal: tuple[Reason, ...]
    shared: tuple[Reason, ...]


@dataclass(frozen=True)
class PricedUnder:
    """What a single decision is priced by: the model, the policy and the terms of the book it belongs to."""

    demand: FittedDemand
    policy: PricingPolicy
    terms: BookTerms

    def optimum(self, decision: Decisions, curve: DemandCurve, scarce: bool = True) -> float:
        """Return the best price before any rule, in money, for a decision of one row."""
        frame = decision.frame
        amounts = frame["list_price"].to_numpy("float64"), frame["unit_cost"].to_numpy("float64")
        objective = Objective(curve, *amounts, self.policy.satisfaction_weight)
        shadow = self.terms.shadow_prices(frame) if scarce else ShadowPrices()
        return float(ChargedObjective(objective, shadow).optimum()[0])


def price_reasons(under: PricedUnder, decision: Decisions, steps: pd.Series, uniform_price: float) -> PriceReasons:
    """Explain the price of one decision; without consent nothing personal is in it.

    ``steps`` is its row of `models.pricing.decide.explain`. Each kind of personal data has its Shapley value (Shapley
    1953): the change of the best price when it becomes known, averaged over the orders in which the kinds can
    become known; with none of them known the user is a stranger, whose best price is the uniform one. What
    rules and rounding, and the random draw, add to that difference follows. Shares of what the model goes by,
    not causes; in money; the largest first, those that round to nothing left out.
    """
    if not decision.consent[0]:
        return PriceReasons((), _notable(_shared(under, decision)))
    stranger = under.optimum(decision, under.demand.curve(decision, personal=False))
    personal = list(_shapley_values(under, decision, stranger))
    ruled = (steps["rounded"] - steps["optimum"]) - (uniform_price - stranger)
    personal += [
        Reason("rules of the policy and rounding", float(ruled)),
        Reason("random draw, to learn how price moves demand", float(steps["shown"] - steps["rounded"])),
    ]
    return PriceReasons(_notable(personal), _notable(_shared(under, decision)))


def without(decision: Decisions, kinds: tuple[str, ...]) -> Decisions:
    """Return the decision as if nothing were known of these kinds of personal data."""
    columns = [name for kind in kinds for name in decision.features(PERSONAL_DATA[kind])]
    frame = decision.frame.assign(**dict.fromkeys(columns, np.nan))
    if BEHAVIOUR in kinds:
        frame = frame.assign(events_end=frame["events_start"])
    return replace(decision, frame=frame)


def _shapley_values(under: PricedUnder, decision: Decisions, stranger: float) -> Iterator[Reason]:
    """The kinds the decision has; behaviour always, since none at all is known of a user as well."""
    kinds = [kind for kind, prefixes in PERSONAL_DATA.items() if kind == BEHAVIOUR or decision.features(prefixes)]
    best: dict[frozenset[str], float] = {}
    for known in _subsets(kinds):
        seen = without(decision, tuple(kind for kind in kinds if kind not in known))
        best[known] = under.optimum(seen, under.demand.curve(seen)) if known else stranger
    for kind in kinds:
        others = [other for other in kinds if other != kind]
        gains = ((best[known | {kind}] - best[known], comb(len(others), len(known))) for known in _subsets(others))
        yield Reason(kind, sum(gain / orders for gain, orders in gains) / len(kinds))


def _subsets(kinds: list[str]) -> Iterator[frozenset[str]]:
    for size in range(len(kinds) + 1):
        yield from map(frozenset, combinations(kinds, size))


def _shared(under: PricedUnder, decision: Decisions) -> Iterator[Reason]:
    """What moves the best price of this user and of strangers alike."""
    curve = under.demand.curve(decision)
    best = under.optimum(decision, curve)
    columns = decision.features(CONTEXT_PREFIXES)
    unseen = replace(decision, frame=decision.frame.assign(**dict.fromkeys(columns, np.nan)))
    yield Reason("market, season and context", best - under.optimum(unseen, under.demand.curve(unseen)))
    yield Reason("scarce stock and the limits on the whole book", best - under.optimum(decision, curve, scarce=False))


def _notable(reasons: Iterator[Reason] | list[Reason]) -> tuple[Reason, ...]:
    ranked = sorted(reasons, key=lambda reason: -abs(reason.effect))
    return tuple(reason for reason in ranked if abs(reason.effect) >= SMALLEST)
