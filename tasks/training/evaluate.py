"""Evaluate: measure a fitted model and its prices on the held-out weeks, beside its baselines and the champion."""

import logging
from dataclasses import replace
from time import perf_counter

import numpy as np
import pandas as pd
from prefect import task

import sql
from models.demand.evaluation import DEMAND_MODEL, Evaluation, evaluate_demand, gain_over_champion
from models.evidence.challenger import Contender, off_policy_figures
from models.evidence.price_checks import PROTECTED_GROUP, check_prices
from models.features.decisions import Decisions, Split, split_by_time
from models.pricing.policy import PricingPolicy
from tasks.books.candidates import groups_of_users
from tasks.data.snapshots import Snapshot
from tasks.database import database_url, read_frame, read_rows, transaction
from tasks.registry.versions import RegisteredDemand, champion_of, version_of
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.training.content import read_content
from tasks.training.extract import features_of
from tasks.training.fit import TrainedDemand

log = logging.getLogger("pricing.evaluate")

SAMPLE_ROWS = 5_000  # newest held-out offers that are priced to be checked
TIMED_ROWS = 2_000
TIMED_PAIRS = 9
# Of nine independent ratios the second smallest is below their median with probability 0.98.
LOW_RANK = 1
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # as the ids of quotes are written


@task(**RETRIED)
def evaluate(trained: TrainedDemand, snapshot: Snapshot, policy: PricingPolicy) -> Evaluation:
    """Measure the model, its baselines and the dataset's champion on the held-out part, with intervals.

    The figures say too what the explored offers tell of the challenger's prices under a policy against the champion's,
    what a sample of those prices breaks, and how much longer than the champion it takes.
    """
    started = perf_counter()
    split, version = _with_intervals(trained.split), champion_of(snapshot.dataset)
    challenger = Contender(trained.fitted, split.test)
    champion = None if version is None else _contender(version, split.test)
    evaluation = evaluate_demand(trained.fitted, split, None if champion is None else champion.curve)
    figures = _price_figures(challenger, champion, split, snapshot, policy) | _against(version)
    if champion is not None:
        figures |= _latency(challenger, champion)
    losses = evaluation.comparison.query("metric == 'log_loss'").set_index("model")["value"]
    others = ", ".join(f"{loss:.5f} {model}" for model, loss in losses.drop(DEMAND_MODEL).items())
    log.info("held-out log loss %.5f; against %s; in %.0f s", losses[DEMAND_MODEL], others, perf_counter() - started)
    log.info("%s", evidence_line(figures))
    return replace(evaluation, figures=evaluation.figures | figures)


def figures_under(
    policy: PricingPolicy, version: RegisteredDemand, champion_version: int, snapshot: Snapshot
) -> dict[str, float]:
    """What `evaluate` says of a version's prices, under another policy than the one it was evaluated with.

    They are compared with those of the champion's version under the same policy, or, if it is 0, with the logged ones.
    The offers held out are the last days of the snapshot, as many as the version's recipe kept: where it holds more
    than the version was made from, they are later ones.
    """
    started, parameters = perf_counter(), version.parameters()
    days = (float(parameters[name]) for name in ("holdout_days", "validation_days"))
    split = _with_intervals(split_by_time(features_of(snapshot).read(), *days))
    against = version_of(str(champion_version)) if champion_version else None
    challenger = _contender(version, split.test)
    champion = None if against is None else _contender(against, split.test)
    figures = _price_figures(challenger, champion, split, snapshot, policy) | _against(against)
    if champion is not None:
        figures |= _latency(challenger, champion) | gain_over_champion(challenger.curve, champion.curve, split.test)
    log.info("version %d under the named policy, in %.0f s: %s", version.version, perf_counter() - started,
             evidence_line(figures))  # fmt: skip
    return figures


def evidence_line(figures: dict[str, float]) -> str:
    """What the explored offers say, in one line."""
    before = f"version {figures['off_policy_against']:.0f}" if figures["off_policy_against"] else "the logged prices"
    unused = f"{figures['off_policy_offers_without_density']:,.0f} held-out offers have no propensity"
    if "off_policy_uplift" not in figures:
        return f"no evidence of what prices earn against {before}: {unused}"
    return (
        f"{figures['off_policy_uplift']:+.4g} an offer against {before}, 95 % bounds "
        f"{figures['off_policy_uplift_low']:+.4g} and {figures['off_policy_uplift_high']:+.4g}, from "
        f"{figures['off_policy_offers']:,.0f} explored offers ({figures['off_policy_effective_sample']:,.0f} "
        f"effective); {unused}"
    )


def _contender(version: RegisteredDemand, test: Decisions) -> Contender:
    """A version, and the test part with what its products' texts and images say to the version's encoders."""
    demand = version.demand()
    with transaction(database_url(Settings())) as connection:
        content = read_content(connection, version.dataset, test.frame["product_id"].unique(), demand.encoders)
    return Contender(demand, replace(test, content=content))


def _with_intervals(split: Split) -> Split:
    """The same, with the prices between which each quote among the offers was held, NaN for offers made elsewhere."""
    return Split(*(replace(part, frame=part.frame.assign(**_intervals(part.frame["decision_id"]))) for part in split))


def _intervals(offers: pd.Series) -> pd.DataFrame:
    quotes = offers[offers.str.fullmatch(UUID)].tolist()
    with transaction(database_url(Settings())) as connection:
        known = read_frame(connection, sql.query("intervals_of_quotes"), {"quotes": quotes})
    return known.set_index("decision_id").astype("float64").reindex(offers).set_axis(offers.index)


def _against(champion: RegisteredDemand | None) -> dict[str, float]:
    """Which version the challenger was compared with, 0 for none, and whether that one is live without evidence."""
    if champion is None:
        return {"off_policy_against": 0}
    with transaction(database_url(Settings())) as connection:
        live = read_rows(connection, sql.query("live_cold_start"), {"version": champion.version})
    return {
        "off_policy_against": champion.version,
        "off_policy_against_cold": float(any(row["cold_start"] for row in live)),
    }


def _price_figures(
    challenger: Contender, champion: Contender | None, split: Split, snapshot: Snapshot, policy: PricingPolicy
) -> dict[str, float]:
    sample = replace(challenger, test=_newest(challenger.test, SAMPLE_ROWS))
    users = sample.test.frame["user_id"]
    with transaction(database_url(Settings())) as connection:
        group = groups_of_users(connection, snapshot.dataset, policy.fairness.group, users)
        protected = groups_of_users(connection, snapshot.dataset, PROTECTED_GROUP, users)
    evidence = off_policy_figures(split, challenger, champion, policy, snapshot.currency)
    return evidence | check_prices(sample, policy, snapshot.currency, group, protected)


def _latency(challenger: Contender, champion: Contender) -> dict[str, float]:
    """Median ratio of the challenger's time for the same decisions to the champion's, each pair measured in turn."""
    asked = [replace(one, test=_newest(one.test, TIMED_ROWS)) for one in (challenger, champion)]
    seconds = [[_seconds(one) for one in asked] for _ in range(1 + TIMED_PAIRS)][1:]  # the first warms up
    ratios = np.sort([first / second for first, second in seconds])
    return {"latency_ratio": float(np.median(ratios)), "latency_ratio_low": float(ratios[LOW_RANK])}


def _seconds(contender: Contender) -> float:
    started = perf_counter()
    _ = contender.curve
    return perf_counter() - started


def _newest(test: Decisions, rows: int) -> Decisions:
    order: pd.Series = test.frame["decided_at"].sort_values(kind="stable")
    return test.select(np.sort(order.index.to_numpy("int64")[-rows:]))
