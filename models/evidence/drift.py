"""Drift: what the model promised against what happened, window by window, and when the difference is an alarm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from models.demand.demand_curve import DemandCurve
from models.demand.metrics import decile

FloatArray = NDArray[np.float64]

Action = Literal["retrain", "warn", "roll_back"]

PURCHASES_TOLERANCE = 0.1  # of the purchases promised
PROFIT_TOLERANCE = 0.1  # of the profit promised
LOSS_TOLERANCE = 0.5  # of the profit promised: beyond it prices do harm
RESPONSE_TOLERANCE = 0.25  # of every user's sensitivity
CALIBRATION_TOLERANCE = 0.3  # of the purchases promised in a tenth of the quotes
FEW_USERS = 30  # with fewer, sums over users are not near enough to normal
DIVERGENCE_LIMIT = 0.125  # Kullback-Leibler, in nats: half of the stability index that is called a major shift


@dataclass(frozen=True)
class Finding:
    """One figure of one window against its limit; ``value`` is NaN where there is too little to tell.

    ``excess`` says the same for people to read, such as a share of what was promised.
    """

    check: str
    action: Action
    value: float
    limit: float
    rows: int
    excess: str = ""

    @property
    def is_breached(self) -> bool:
        """Whether the value is known and above its limit."""
        return bool(self.value > self.limit)


def promise_findings(answered: pd.DataFrame, false_alarm: float) -> list[Finding]:
    """Compare one window's answered quotes with what the model promised of each.

    ``answered`` has ``user_id, price, list_price, unit_cost, quantity, sensitivity, valuation, purchased``, one row a
    quote. Two sums of y − p are tested, each with users as clusters: of purchases, and of the money made on them. No
    model is exact, so a sum counts only beyond a tolerance, and ``false_alarm`` bounds how often it does by chance
    where the truth lies at the tolerance.
    """
    promised, missed, user = _promises(answered)
    margin = ((answered["price"] - answered["unit_cost"]) * answered["quantity"]).to_numpy("float64")
    limit = float(norm.isf(false_alarm))
    purchases, profit = float(promised.sum()), float((margin * promised).sum())
    return [
        _finding("purchases", "retrain", missed, user, PURCHASES_TOLERANCE, purchases, limit, "both"),
        _finding("profit", "retrain", margin * missed, user, PROFIT_TOLERANCE, profit, limit, "both"),
        _finding("loss", "roll_back", margin * missed, user, LOSS_TOLERANCE, profit, limit, "short"),
    ]


def response_finding(answered: pd.DataFrame, false_alarm: float) -> Finding:
    """Compare how answered quotes at random prices answer to price with what the model promised.

    Columns and `false_alarm` as in `promise_findings`, and ``randomised``. Tested is the sum of y − p times the slope
    by which a change of all sensitivities would show (the score test of Rao 1948).
    """
    random = answered[answered["randomised"].to_numpy(bool)]
    promised, missed, user = _promises(random)
    information = promised * (1 - promised)
    ratio = (random["price"] / random["list_price"]).to_numpy("float64")
    slope = ratio - _mean(ratio, information)
    # Were every sensitivity larger by a share s, the slope's sum would fall by about s times this.
    expected = float((slope**2 * information * random["sensitivity"].to_numpy("float64")).sum())
    limit = float(norm.isf(false_alarm))
    return _finding("price_response", "retrain", slope * missed, user, RESPONSE_TOLERANCE, expected, limit, "both")


def calibration_finding(answered: pd.DataFrame, false_alarm: float) -> Finding:
    """Compare purchases with what was promised in each tenth of the answered quotes, low promises to high.

    Columns and `false_alarm` as in `promise_findings`. The tenth that misses most is the finding; that any of the ten
    does so by chance is as rare as `false_alarm` says, since each is held to a tenth of it (Bonferroni 1936).
    """
    promised, missed, user = _promises(answered)
    tenth = decile(promised, np.ones(len(promised))) if len(promised) else np.empty(0, "int64")
    limit, chance = float(norm.isf(false_alarm / 10)), promised * (1 - promised)
    worst = Finding("calibration", "retrain", np.nan, limit, len(answered))
    for number in range(10):
        of = tenth == number
        one = _finding("calibration", "retrain", missed[of], user[of], CALIBRATION_TOLERANCE, float(promised[of].sum()),
                       limit, "both", float(np.sqrt(chance[of].sum())))  # fmt: skip
        if not one.value <= worst.value and not np.isnan(one.value):
            worst = replace(one, rows=len(answered), excess=f"tenth {number + 1}: {one.excess}")
    return worst


def rule_findings(quotes: pd.DataFrame, exploration_share: float, false_alarm: float) -> list[Finding]:
    """Check one window's quotes of personal prices against the rules they were made under.

    ``quotes`` has ``user_id, product_id, price, lower, upper, randomised``, one row a quote. No price may lie outside
    its interval; of the pairs that could be explored the policy's share must be drawn at random, by the binomial's
    normal approximation.
    """
    outside, pairs = outside_interval(quotes), explorable_pairs(quotes)
    count, expected = len(pairs), exploration_share * len(pairs)
    spread = np.sqrt(expected * (1 - exploration_share))
    drawn = float(pairs["randomised"].sum())
    share = abs(drawn - expected) / spread if spread > 0 and count >= FEW_USERS else np.nan
    shown = f"{drawn / count:.1%} of {exploration_share:.1%}" if count else ""
    return [
        Finding("guardrails", "roll_back", outside, 0, len(quotes), f"{outside:,} quotes outside their interval"),
        Finding("exploration", "warn", share, float(norm.isf(false_alarm / 2)), count, shown),
    ]


def outside_interval(quotes: pd.DataFrame) -> int:
    """Return how many quotes lie outside the interval, from ``lower`` to ``upper``, that they were set within."""
    return int(((quotes["price"] < quotes["lower"]) | (quotes["price"] > quotes["upper"])).sum())


def explorable_pairs(quotes: pd.DataFrame) -> pd.DataFrame:
    """Return one quote of each (user, product) pair with more than one admissible price.

    Within a period a pair keeps its draw, so that repeats count once.
    """
    return quotes[quotes["lower"] < quotes["upper"]].drop_duplicates(["user_id", "product_id"])


@dataclass(frozen=True)
class LabelShift:
    """The shares of a column's labels as the model learnt from them and in one window, float64 by label.

    Half a row is added to every label of ``then`` and ``now``, so that one never seen before weighs much but not
    infinitely. ``limit`` is for the Kullback-Leibler divergence of either from the other, in nats.
    """

    column: str
    rows: int
    then: pd.Series
    now: pd.Series
    limit: float

    @classmethod
    def between(cls, reference: pd.Series, current: pd.Series, false_alarm: float) -> Self:
        """Return the shift of text labels, one a row; ``limit`` is NaN where there is too little to tell.

        Over labels k and rows n and m the divergence of unchanged shares is about half of (1/n + 1/m)·χ²(k−1), as the
        likelihood ratio is χ² (Wilks 1938); its quantile at ``false_alarm`` is added to the limit.
        """
        labels = sorted({*reference.unique(), *current.unique()})
        then, now = (
            (side.value_counts().reindex(labels, fill_value=0) + 0.5) / (len(side) + len(labels) / 2)
            for side in (reference, current)
        )
        limit = float("nan")
        if len(labels) > 1 and min(len(reference), len(current)) >= FEW_USERS:
            chance = (1 / len(reference) + 1 / len(current)) / 2
            limit = DIVERGENCE_LIMIT + chance * float(chi2.isf(false_alarm, len(labels) - 1))
        return cls(str(current.name), len(current), then, now, limit)

    @property
    def is_known(self) -> bool:
        """Whether there are rows and labels enough to tell."""
        return not np.isnan(self.limit)

    @property
    def stability_index(self) -> float:
        """The population stability index Σ (a − r)·ln(a / r); 0.25 is called a major shift (Siddiqi 2006)."""
        return float(((self.now - self.then) * np.log(self.now / self.then)).sum())

    def finding(self, divergence: float) -> Finding:
        """Return what a measured divergence means; NaN where it is not known."""
        if not self.is_known:
            return Finding(f"feature {self.column}", "retrain", float("nan"), DIVERGENCE_LIMIT, self.rows)
        label = str((self.now - self.then).abs().idxmax())
        change = f"{label}: {self.then[label]:.1%} to {self.now[label]:.1%}; stability index {self.stability_index:.2f}"
        return Finding(f"feature {self.column}", "retrain", divergence, self.limit, self.rows, change)


def labelled(reference: pd.Series, values: pd.Series, most: int = 10) -> pd.Series:
    """Return values as text labels: numbers by the reference's tenths, texts by its commonest, the rest as `other`."""
    if pd.api.types.is_numeric_dtype(reference):
        known = reference.dropna().to_numpy("float64")
        edges = np.unique(np.quantile(known, np.linspace(0, 1, most + 1)[1:-1])) if len(known) else np.empty(0)
        bounds = ["-inf", *(f"{edge:.4g}" for edge in edges), "inf"]
        names = np.array([f"{low} to {high}" for low, high in pairwise(bounds)], dtype=object)
        labels = names[np.searchsorted(edges, values.to_numpy("float64"))]
    else:
        common = reference.value_counts().index[:most]
        labels = values.where(values.isin(common), "other").to_numpy(object)
    return pd.Series(np.where(values.isna(), "missing", labels), values.index, dtype=object, name=values.name)


def is_alarm(breached: Sequence[bool], at_least: int) -> bool:
    """Return whether so many of the windows breach, oldest first, and the newest is one of them."""
    return bool(breached) and breached[-1] and sum(breached) >= at_least


def _promises(answered: pd.DataFrame) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """What was promised of each answered quote, by how much it was missed, and the number of its user."""
    curve = DemandCurve(answered["sensitivity"].to_numpy("float64"), answered["valuation"].to_numpy("float64"))
    promised = curve.purchase_probability((answered["price"] / answered["list_price"]).to_numpy("float64"))
    return promised, answered["purchased"].to_numpy("float64") - promised, pd.factorize(answered["user_id"])[0]


def _mean(values: FloatArray, weight: FloatArray) -> float:
    return float(np.average(values, weights=weight)) if weight.sum() > 0 else 0.0


def _finding(
    check: str,
    action: Action,
    missed: FloatArray,
    user: NDArray[np.int64],
    tolerance: float,
    promised: float,
    limit: float,
    side: Literal["both", "short"],
    least: float = 0.0,
) -> Finding:
    """How many standard errors the sum of what was missed lies beyond the tolerated share of what was promised.

    A standard error is at least `least`: what chance alone makes of it, where rows without a purchase show none.
    """
    users = np.unique(user)
    if len(users) < FEW_USERS or promised == 0:
        return Finding(check, action, np.nan, limit, len(missed))
    total = float(missed.sum())
    by_user = np.bincount(user, missed)[users]
    spread = max(least, float(np.sqrt(((by_user - by_user.mean()) ** 2).sum() * len(users) / (len(users) - 1))))
    beyond = (abs(total) if side == "both" else -total) - tolerance * abs(promised)
    value = beyond / spread if spread > 0 else np.nan
    return Finding(check, action, value, limit, len(missed), f"{total / abs(promised):+.1%} of what was promised")
