"""The control function's first stage: the part of a logged price that no observed cause explains.

Logged prices follow demand that nobody recorded. With an instrument (it moves price and not demand), the residual of
price on features and instrument carries that unrecorded demand, and a model that sees the residual can tell the effect
of price from it (Petrin & Train, Journal of Marketing Research 2010).

A price that the platform quoted has no such part: it was set from what is recorded. In the first stage the instrument,
which hardly moves such prices, would look weak, and the residual would be how they differ between people, who answer
prices differently: from one training on its own quotes to the next the control function would be lost.

What all users share in a week is no matter of who they are, and what a product's price is above others' over the weeks
it was seen in is for good only in part. Were both explained away, a week in which everything was wanted, or a product
that happened to be wanted when it was seen, would be taken for what the market or the product is like.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models.features.columns import FeatureGroup, number_column
from models.features.decisions import INSTRUMENT_PREFIXES, Decisions
from models.features.encoding import Encoding

WEAK_F = 10.0  # Staiger & Stock, Econometrica 1997
_FOLDS = 5
_LARGEST_ONE_HOT = 32  # texts with more values are mostly the product's own, which has an effect of its own

_TINY = 1e-12
_DAY = 86_400_000_000  # microseconds

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FirstStageReport:
    """How well observed causes, and the instrument beyond them, explain the logged price ratio.

    `r2` and `partial_r2` are within product, `f` is the instrument's partial F clustered by product. `reason` says
    why there is no residual; it is empty where there is one.
    """

    r2: float
    partial_r2: float
    f: float
    rows: int
    reason: str = ""

    @property
    def identified(self) -> bool:
        """Whether the residual may be used."""
        return not self.reason


@dataclass(frozen=True)
class FirstStage:
    """Predicts the price ratio from features and instruments; what is left is the residual.

    Ridge regressions fit the two expectations E[ratio | features, instruments] and E[ratio | features], each product by
    folds that never saw it: a shop shows all users of a day one shelf price, so folds by row would predict a price from
    itself. The residual is then that of a linear regression of the ratio on both predictions within products, so that
    a shrunk prediction is stretched back to slope 1 and not mistaken for unrecorded demand (the learned-instrument
    estimator of Chen, Chen & Lewis, arXiv:2011.06158), less an effect for each product. Instruments enter with their
    squares, which hold 97 % of a pass-through that only starts above a threshold, where a line holds 73 %.
    """

    encoding: Encoding
    instruments: dict[str, float]  # each with its mean
    folds: tuple[tuple[Pipeline, Pipeline], ...]
    fold_of: dict[str, int]
    slopes: Array
    effect_of: dict[str, float]
    report: FirstStageReport

    @classmethod
    def fit(cls, training: Decisions, encoding: Encoding, seed: int) -> Self:
        """Fit on the rows whose price something unrecorded may have moved.

        Without instruments, price variation or an instrument that moves price, the residual is 0 on every row and
        the report says why.
        """
        log = training.select(~training.unconfounded)
        names = log.features(INSTRUMENT_PREFIXES)
        reason = _obstacle(log, names)
        if reason:
            return cls._without(encoding, FirstStageReport(0.0, 0.0, 0.0, len(log), reason))
        instruments = {name: _mean(number_column(log.frame, name)) for name in names}
        code, products = pd.factorize(log.frame["product_id"])
        code = code.astype("int64")
        fold = np.random.default_rng(seed).permutation(np.arange(len(products)) % min(_FOLDS, len(products)))
        moved, features = _design(log, encoding, instruments)
        ratio = log.price_ratio
        folds = tuple(
            _fit_fold(moved, features, ratio, np.flatnonzero(fold[code] != held_out))
            for held_out in range(fold.max() + 1)
        )
        predictions = _predict(folds, moved, features, fold[code])
        slopes, report = _project(predictions, ratio, code)
        effects = _product_effects(ratio - predictions @ slopes, code, _week(log))
        if not report.identified:
            return cls._without(encoding, report)
        fold_of = dict(zip(products.astype(str), fold.tolist(), strict=True))
        effect_of = dict(zip(products.astype(str), effects.tolist(), strict=True))
        return cls(encoding, instruments, folds, fold_of, slopes, effect_of, report)

    def residual(self, decisions: Decisions) -> Array:
        """Return the unexplained price ratio (rows,): 0 on unconfounded rows and where it is not identified."""
        if not self.report.identified or not len(decisions):
            return np.zeros(len(decisions))
        product = decisions.frame["product_id"]
        fold = product.map(self.fold_of).fillna(0).to_numpy("int64").astype(np.int64)
        typical = float(np.mean(list(self.effect_of.values())))
        effect = product.map(self.effect_of).fillna(typical).to_numpy("float64")
        moved, features = _design(decisions, self.encoding, self.instruments)
        explained = effect + _predict(self.folds, moved, features, fold) @ self.slopes
        return np.where(decisions.unconfounded, 0.0, decisions.price_ratio - explained)

    @classmethod
    def _without(cls, encoding: Encoding, report: FirstStageReport) -> Self:
        return cls(encoding, {}, (), {}, np.zeros(2), {}, report)


def _obstacle(log: Decisions, instruments: list[str]) -> str:
    if not instruments:
        return "the decisions have no instrument_ column with values"
    product = log.frame["product_id"]
    if product.nunique() < 2:
        return "fewer than two products have logged prices that were neither drawn nor quoted"
    if _within(log.price_ratio, pd.factorize(product)[0]).std() < 1e-6:
        return "no product's price ratio varies"
    return ""


def _design(decisions: Decisions, encoding: Encoding, instruments: dict[str, float]) -> tuple[Array, Array]:
    """Return instruments with their squares (rows, 2 instruments), and features (rows, columns).

    Personal features count from their mean of the week.
    """
    known = [number_column(decisions.frame, name) - mean for name, mean in instruments.items()]
    moved = np.nan_to_num(np.column_stack([part for column in known for part in (column, column**2)]))
    flat = encoding.flat(decisions)
    shared = _columns(flat, encoding.product, encoding.context)
    personal = _columns(flat, encoding.user, encoding.pair)
    week = pd.factorize(_week(decisions))[0].astype("int64")
    return moved, np.column_stack([*shared, *(_within(column, week) for column in personal)])


def _columns(flat: pd.DataFrame, *groups: FeatureGroup) -> list[Array]:
    """Return the columns (rows,) of a plain table that are of these groups, texts one-hot."""
    numbers = [np.nan_to_num(flat[name].to_numpy("float64")) for group in groups for name in group.numeric]
    texts = [(flat[f"{name}_code"], len(text)) for group in groups for name, text in group.text.items()]
    one_hot = [np.eye(size)[code] for code, size in texts if size <= _LARGEST_ONE_HOT]
    return [*numbers, *(column for table in one_hot for column in table.T)]


def _week(decisions: Decisions) -> NDArray[np.int64]:
    """Return the number of each decision's week, which begins on Monday (rows,)."""
    return (decisions.decided_at + 3 * _DAY) // (7 * _DAY)


def _fit_fold(moved: Array, features: Array, ratio: Array, rows: NDArray[np.int64]) -> tuple[Pipeline, Pipeline]:
    def fit(columns: Array) -> Pipeline:
        return make_pipeline(StandardScaler(), Ridge(1.0)).fit(columns[rows], ratio[rows])

    return fit(np.column_stack([moved, features])), fit(features)


def _predict(
    folds: tuple[tuple[Pipeline, Pipeline], ...], moved: Array, features: Array, fold: NDArray[np.int64]
) -> Array:
    """Return what the instrument adds to the prediction, and the prediction without it (rows, 2), out of fold."""
    predictions = np.zeros((len(features), 2))
    for number, (full, features_only) in enumerate(folds):
        rows = fold == number
        if rows.any():
            base = features_only.predict(features[rows])
            both = full.predict(np.column_stack([moved[rows], features[rows]]))
            predictions[rows] = np.column_stack([both - base, base])
    return predictions


def _project(predictions: Array, ratio: Array, product: NDArray[np.int64]) -> tuple[Array, FirstStageReport]:
    """Return the slopes of both predictions within products, and the first stage's strength."""
    added, base = (_within(column, product) for column in predictions.T)
    y = _within(ratio, product)
    x = np.column_stack([added, base])
    slopes = np.asarray(np.linalg.lstsq(x, y, rcond=None)[0], dtype=np.float64)
    residual, without = y - x @ slopes, _unexplained(y, base)
    # What only the instrument adds (Frisch & Waugh), for the standard error of its slope.
    own = _unexplained(added, base)
    score, power = np.bincount(product, own * residual), float(own @ own)
    variance = float(score @ score) / max(power, _TINY) ** 2
    f = float(slopes[0]) ** 2 / max(variance, _TINY) if power > _TINY else 0.0
    reason = "" if f >= WEAK_F and slopes[0] > 0 else f"the instrument is weak (F = {f:.1f}, below {WEAK_F:.0f})"
    report = FirstStageReport(
        r2=1 - float(residual @ residual) / float(y @ y),
        partial_r2=1 - float(residual @ residual) / float(without @ without),
        f=f,
        rows=len(ratio),
        reason=reason,
    )
    return slopes, report


def _product_effects(unexplained: Array, product: NDArray[np.int64], week: NDArray[np.int64]) -> Array:
    """Return what each product's price is above others' for good (products,), of what is unexplained (rows,).

    A product's mean also holds what passed in the weeks it was seen. It is drawn towards the mean of all products by
    the share that this makes of the variance: a random effect, whose variance over products is estimated as that over
    studies by DerSimonian & Laird (Controlled Clinical Trials 1986). Of what passes but lasts longer than a week, too
    little is taken for passing.
    """
    cells, cell = np.unique(np.column_stack([product, week]), axis=0, return_inverse=True)
    owner, rows = cells[:, 0], np.bincount(cell).astype("float64")
    share = rows / np.bincount(owner, rows)[owner]
    effects = np.bincount(product, unexplained) / np.bincount(product)
    passing = np.bincount(cell, unexplained) / rows - effects[owner]
    concentration = np.bincount(owner, share**2)  # of a product's rows in few weeks: 1 over their effective number
    freedom = float((1 - concentration).sum())
    if freedom < _TINY:  # each product was seen in one week alone
        return effects
    variance = np.maximum(float(share @ passing**2) / freedom * concentration, _TINY)
    lasting = _variance_between(effects, variance)
    mean = np.average(effects, weights=1 / (lasting + variance))
    return np.asarray(mean + lasting / (lasting + variance) * (effects - mean))


def _variance_between(effects: Array, variance: Array) -> float:
    """Return the variance of what effects (n,) estimate, each with this variance of its own (n,), by moments."""
    weight = 1 / variance
    excess = float(weight @ (effects - np.average(effects, weights=weight)) ** 2) - (len(effects) - 1)
    return max(0.0, excess / (float(weight.sum()) - float(weight @ weight) / float(weight.sum())))


def _unexplained(values: Array, base: Array) -> Array:
    """Return what is left of the values after a regression on one column without constant (rows,)."""
    return values - base * (float(base @ values) / max(float(base @ base), _TINY))


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _within(values: Array, product: NDArray[np.int64]) -> Array:
    """Return values less their product's mean (rows,)."""
    means = np.bincount(product, values) / np.maximum(np.bincount(product), 1)
    return values - means[product]
