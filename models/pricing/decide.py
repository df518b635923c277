"""From demand curves and a policy to one price per decision, with its reasons or why it was refused."""

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.demand.demand_curve import DemandCurve
from models.pricing.exploration import Draws, ExploredPrices, explore
from models.pricing.guardrails import NO_RULE, RULES, waterfall
from models.pricing.inputs import PricingInputs, read_inputs
from models.pricing.policy import PolicyError, PricingPolicy
from models.pricing.price_grid import LARGEST_TICK
from models.pricing.row_prices import RowPrices, best_prices
from models.pricing.shadow_prices import BookTerms

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Why a price differs from its unguarded optimum: the rule that holds it, or one of these.
REASONS = (*RULES, "shadow_price", "no_consent", "explored", "dithered")


def price_decisions(
    decisions: pd.DataFrame,
    curve: DemandCurve,
    uniform_curve: DemandCurve,
    policy: PricingPolicy,
    currency: str,
    *,
    live_price: ArrayLike | None = None,
    live_uniform_price: ArrayLike | None = None,
    live_propensity: ArrayLike | None = None,
    exploration_period: date | None = None,
    terms: BookTerms | None = None,
) -> pd.DataFrame:
    """Price every decision; the result is indexed and ordered like ``decisions``.

    ``decisions`` has the columns user_id, product_id, list_price, unit_cost, floor, ceiling (NaN: none) and
    consent, money in ``currency``. The curves have one row per decision, ``uniform_curve`` without any
    personal data. ``live_price`` and ``live_uniform_price`` (NaN: none) are what maximum_step counts from.
    Prices are explored only in an ``exploration_period``, a day on which one user and product always draw the same
    price; ``live_propensity`` (NaN: none) says with which density the live price was drawn in that same period, and
    such a draw stays.

    ``terms`` are those of the book the decisions belong to (see `models.pricing.price_book`): bid prices by
    pool_id, for which a decision's own ``bid_price`` may stand, bonuses and the parity band. A policy with limits
    on a whole book needs them.

    Returns price, uniform_price, purchase_probability, expected_profit (a decision, over unit cost),
    elasticity, lower and upper (the lowest and highest admissible price), reasons (a list of REASONS),
    randomised, propensity (density of the price shown per unit of price / list price; NaN where nothing was
    drawn) and refused (why there is no price, or None). A user without consent has exactly the uniform
    price. Raises PricingInputError where columns or rows are missing, PolicyError where the currency cannot
    have the policy's price ending or the terms are missing.
    """
    given = read_inputs(decisions, curve, uniform_curve, live_price, live_uniform_price)
    rows = _priced_alone(decisions, given, policy, currency, terms)
    shown = explored(decisions, given, rows, policy, exploration_period, live_propensity)
    table = _outcomes(given, rows, shown)
    table.insert(7, "reasons", pd.Series(_reasons(given, rows, shown), dtype=object))
    table["refused"] = pd.Series(rows.refused, dtype=object)
    return table.set_index(decisions.index)


def explain(
    decisions: pd.DataFrame,
    curve: DemandCurve,
    uniform_curve: DemandCurve,
    policy: PricingPolicy,
    currency: str,
    *,
    live_price: ArrayLike | None = None,
    live_uniform_price: ArrayLike | None = None,
    live_propensity: ArrayLike | None = None,
    exploration_period: date | None = None,
    terms: BookTerms | None = None,
) -> pd.DataFrame:
    """Return the waterfall of every decision: a column per step, in order, holding the price after it.

    It starts at the list price and the unguarded optimum, goes through each rule of the policy and the
    rounding to an admissible price, and ends at the price shown. Arguments and errors are those of
    `price_decisions`; the steps of a refused row end in NaN.
    """
    given = read_inputs(decisions, curve, uniform_curve, live_price, live_uniform_price)
    rows = _priced_alone(decisions, given, policy, currency, terms)
    shown = explored(decisions, given, rows, policy, exploration_period, live_propensity)
    personal = rows.personal
    steps = {"list_price": given.list_price, "optimum": personal.optimum}
    steps |= dict(waterfall(personal.optimum, personal.rules))
    steps["rounded"] = np.where(rows.has_price, personal.price, np.nan)
    steps["shown"] = np.where(rows.has_price, personal.interval.grid.price(shown.rung), np.nan)
    return pd.DataFrame(steps, index=decisions.index)


def explored(
    decisions: pd.DataFrame,
    given: PricingInputs,
    rows: RowPrices,
    policy: PricingPolicy,
    period: date | None,
    live_propensity: ArrayLike | None = None,
) -> ExploredPrices:
    """Return the rungs shown in this period, a day; without one, or without exploration, the best ones."""
    personal = rows.personal
    if period is None or not policy.exploration.is_on:
        return ExploredPrices.unexplored(personal.rung)
    can_explore = rows.has_price & given.consent & (personal.interval.highest < LARGEST_TICK)
    how = policy.exploration
    draws = Draws.of(how, decisions["user_id"], decisions["product_id"], period)
    shown = explore(how.drawn_share, how.dither, personal.interval, personal.rung, given.list_price, can_explore, draws)
    if live_propensity is None:
        return shown
    return shown.keeping(personal.interval, given.live_price, np.asarray(live_propensity, np.float64))


def _priced_alone(
    decisions: pd.DataFrame,
    given: PricingInputs,
    policy: PricingPolicy,
    currency: str,
    terms: BookTerms | None,
) -> RowPrices:
    if terms is None and policy.binds_whole_book:
        raise PolicyError(
            "the policy has [portfolio] limits or a [fairness] parity_bound, which single rows cannot keep: "
            "price them with models.pricing.price_book, or give the terms of the book they belong to"
        )
    terms = terms or BookTerms()
    shadow = terms.shadow_prices(decisions)
    return best_prices(given, policy, currency, shadow, terms.parity_band)


def _outcomes(given: PricingInputs, rows: RowPrices, shown: ExploredPrices) -> pd.DataFrame:
    uniform, interval, is_refused = rows.uniform, rows.personal.interval, ~rows.has_price
    has_uniform = pd.isna(given.invalid) & uniform.has_price
    price = np.where(is_refused, np.nan, interval.grid.price(shown.rung))
    ratio = price / given.list_price
    probability = given.curve.purchase_probability(ratio)
    return pd.DataFrame(
        {
            "price": price,
            "uniform_price": np.where(has_uniform, uniform.price, np.nan),
            "purchase_probability": probability,
            "expected_profit": (price - given.unit_cost) * probability,
            "elasticity": given.curve.elasticity(ratio),
            "lower": np.where(is_refused, np.nan, interval.lower),
            "upper": np.where(is_refused, np.nan, interval.upper),
            "randomised": shown.randomised,
            "propensity": shown.density,
        }
    )


def _reasons(given: PricingInputs, rows: RowPrices, shown: ExploredPrices) -> NDArray[np.object_]:
    """Return each row's reasons, gathered as one bit each and spelt out once per distinct set."""
    interval, optimum = rows.personal.interval, rows.personal.optimum
    below, above = optimum < interval.lower, optimum > interval.upper
    bits = np.zeros(len(given), np.int64)
    for is_held, rule in ((below, interval.lower_rule), (above, interval.upper_rule)):
        bits |= np.where(is_held & (rule != NO_RULE), 1 << np.maximum(rule, 0).astype(np.int64), 0)
    flags = {
        "price_ending": ~below & ~above & (interval.grid.step > 1),
        "shadow_price": rows.personal.shadow.is_charged,
        "no_consent": ~given.consent,
        "explored": shown.randomised,
        "dithered": shown.dithered,
    }
    for reason, is_so in flags.items():
        bits |= is_so.astype(np.int64) << REASONS.index(reason)
    bits[~rows.has_price] = 0
    spelt = {mask: _spelt(mask) for mask in np.flatnonzero(np.bincount(bits)).tolist()}
    reasons = np.empty(len(given), dtype=object)
    reasons[:] = [spelt[mask].copy() for mask in bits.tolist()]
    return reasons


def _spelt(mask: int) -> list[str]:
    return [reason for bit, reason in enumerate(REASONS) if mask >> bit & 1]
