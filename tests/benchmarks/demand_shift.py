"""A demand shift: how soon the monitor's own statistics see it, how often they cry wolf, and what retraining recovers.

    .venv/bin/python -m tests.benchmarks.demand_shift --results results --seeds 24

A demand model learns from a marketplace's log, a tenth of it randomised, and prices its visits day by day. From one day
on the true demand is another. `models.evidence.drift` and `tasks.monitoring.judge` see what a storefront would have
logged: hour by hour for many draws of luck and weekly shocks, and day by day of a course in which the model is fit
again after an alarm. That fit sees all offers up to the alarm, with the newest days to stop and correct it by; no gate
stands in its way here.
"""

import argparse
import json
import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.demand.fitted import FittedDemand, fit_demand
from models.demand.network import DemandConfig
from models.demand.training import SMALL_LOG_TRAINING
from models.evidence.drift import Finding
from models.features.decisions import Decisions
from models.pricing.decide import price_decisions
from models.pricing.policy import PricingPolicy
from models.simulation.demand_shift import DemandShift
from models.simulation.live_market import LiveMarket, with_history
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from tasks.monitoring.judge import judge
from tasks.monitoring.observe import REFERENCE, Freshness, Observation, Windows
from tests.benchmarks.closed_loop import CURRENCY, policy, policy_bounds
from tests.benchmarks.demand_shift_report import write_report
from tests.benchmarks.embeddings import product_content

logger = logging.getLogger("pricing.benchmark")
Array = NDArray[np.float64]

DAY = pd.Timedelta(days=1)
FEATURES = {"behaviour": ["kind", "category", "dwell_seconds"],
            "market": ["competitor_price_to_list", "demand_index", "supply_index"]}  # fmt: skip
LOOK_BACK, AT_LEAST, FALSE_ALARM = 5, 2, 0.01  # the defaults of the flow `monitor`
VALIDATION_DAYS = 3
SHIFTS = {"none": {}, "willingness × 0.85": {"willingness": 0.85}, "sensitivity × 1.4": {"sensitivity": 1.4}}


@dataclass(frozen=True)
class Course:
    """How long and how busy the course of events is.

    Args:
        users, products: of the marketplace.
        daily: offers and quotes a day.
        log_days, days: of the log, and of the quotes after it.
        shift_day: of the quotes, from 0; the first with the changed demand.
        looks: of the monitor a day, at the 24 hours before each and the four days before those.
        retrainings: at most so many alarms are answered.

    """

    users: int = 1_000
    products: int = 20
    daily: int = 500
    log_days: int = 42
    days: int = 28
    shift_day: int = 10
    looks: int = 24
    retrainings: int = 3

    def live(self, cache: Path) -> LiveMarket:
        """Return the live market, whose products' texts and pictures have been read."""
        days = self.log_days + self.days + 1
        config = MarketplaceConfig(users=self.users, products=self.products, offers=days * self.daily, days=days)
        market = simulate(config)
        return LiveMarket.opened(market.with_content(product_content(market, cache)), self.log_days)


def shifted(live: LiveMarket, name: str, course: Course) -> LiveMarket:
    """Return the live market under one of the shifts."""
    shift = DemandShift(live.opens_at + course.shift_day * DAY, **SHIFTS[name])
    return replace(live, market=live.market.shifted(shift))


def fitted(offers: Decisions, seed: int = 0) -> FittedDemand:
    """Return the demand model of all these offers, the newest days of which stop and correct it."""
    at = offers.frame["decided_at"]
    is_newest = (at > at.max() - VALIDATION_DAYS * DAY).to_numpy()
    training = replace(SMALL_LOG_TRAINING, seed=seed)
    parts = offers.select(~is_newest), offers.select(is_newest)
    return fit_demand(*parts, DemandConfig(), training, torch.device("cpu"))[0]


def quoted(demand: FittedDemand, visits: Decisions, live: LiveMarket, rules: PricingPolicy) -> pd.DataFrame:
    """Return the quotes of visits (rows,) as the monitor reads them, with each day's own draws."""
    frame = visits.frame
    curve, uniform = demand.curve(visits), demand.curve(visits, personal=False)
    window = ((frame["decided_at"] - live.opens_at) // DAY).to_numpy("int64")
    tables = []
    for day in np.unique(window):
        rows = np.flatnonzero(window == day)
        tables.append(
            price_decisions(
                frame.iloc[rows],
                curve.take(rows),
                uniform.take(rows),
                rules,
                CURRENCY,
                exploration_period=date.fromordinal(1 + int(day)),
            )
        )
    terms = frame[["user_id", "product_id", "list_price", "unit_cost", "quantity", "decided_at"]]
    return pd.concat([terms, pd.concat(tables).loc[frame.index]], axis=1).assign(
        window=window, sensitivity=curve.sensitivity, valuation=curve.valuation, group=None
    )


def observed(quotes: pd.DataFrame, live: LiveMarket, until: pd.Timestamp, *, features: bool) -> Observation:
    """Return what the monitor sees at a moment; without `features` nothing of users' events and the market."""
    ends = Windows(24, LOOK_BACK).ends(until)
    period = ends[0] - DAY, ends[-1]
    learnt = live.opens_at - REFERENCE, live.opens_at
    tables = FEATURES if features else ()
    current, reference = ({name: _signals(live, name, *times) for name in tables} for times in (period, learnt))
    for frame in current.values():
        frame["window"] = ((frame["at"] - period[0]) // DAY).astype("int64")
    reference = {name: frame[FEATURES[name]] for name, frame in reference.items()}
    fresh = Freshness(0.0, 0.0, 0.0, 0.0, ends[-1].to_pydatetime())
    seen = quotes[(quotes["decided_at"] >= period[0]) & (quotes["decided_at"] < until)]
    return Observation(
        1, "marketplace", 1, policy(), CURRENCY, [end.to_pydatetime() for end in ends],
        seen.assign(window=(seen["decided_at"] - period[0]) // DAY), current, reference, fresh, 1.0,
    )  # fmt: skip


def _signals(live: LiveMarket, table: str, since: pd.Timestamp, until: pd.Timestamp) -> pd.DataFrame:
    """The columns that the monitor's queries give (sql/queries/monitored_*.sql)."""
    frame = live.market.tables[table]
    at = frame["occurred_at" if table == "behaviour" else "observed_at"]
    frame = frame.assign(at=at)[(at >= since) & (at < until)]
    if table == "behaviour":  # purchases answer prices, and are judged as such
        return frame[frame["kind"] != "purchase"][["at", *FEATURES[table]]]
    list_price = frame["product_id"].map(live.market.tables["products"].set_index("product_id")["list_price"])
    ratio = frame["competitor_price"] / list_price.astype("float64")
    return frame.assign(competitor_price_to_list=ratio, supply_index=np.nan)[["at", *FEATURES[table]]]


def judged(
    quotes: pd.DataFrame, live: LiveMarket, until: pd.Timestamp, *, features: bool
) -> tuple[list[Finding], list[str]]:
    """Return what a look at a moment finds of the day before it, and the checks that alarm."""
    found = judge.fn(observed(quotes, live, until, features=features), AT_LEAST, FALSE_ALARM)
    return found.findings[-1], [check for alarm in found.alarms if alarm.action != "warn" for check in alarm.checks]


@dataclass(frozen=True)
class Watch:
    """What the monitor said of one draw of luck: the checks that breached and alarmed at any look, by day."""

    shift: str
    seed: int
    breached: list[list[str]]
    alarmed: list[list[str]]

    def detection(self, shift_day: int) -> int | None:
        """Return how many days of changed demand it took until an alarm, None where none came."""
        later = [day for day, checks in enumerate(self.alarmed) if checks and day >= shift_day]
        return later[0] - shift_day + 1 if later else None


def watched(quotes: pd.DataFrame, visits: Decisions, live: LiveMarket, name: str, course: Course, seed: int) -> Watch:
    """Return what the monitor says of the same quotes, answered under the luck and the weekly shocks of a seed."""
    ratio = (quotes["price"] / quotes["list_price"]).to_numpy("float64")
    answered = quotes.assign(purchased=shifted(live, name, course).again(seed).answers(visits, ratio))
    breached, alarmed = [], []
    for day in range(course.days):
        since = live.opens_at + day * DAY
        looks = [judged(answered, live, since + look / course.looks * DAY, features=False)
                 for look in range(1, course.looks + 1)]  # fmt: skip
        found = {one.check for findings, _ in looks for one in findings if one.is_breached and one.action != "warn"}
        breached.append(sorted(found))
        alarmed.append(sorted({check for _, checks in looks for check in checks}))
    return Watch(name, seed, breached, alarmed)


def traced(model: FittedDemand, live: LiveMarket, name: str, course: Course, *, retrain: bool = True) -> dict[str, Any]:
    """Return one course day by day: profit over the oracle's within the policy, alarms, and what was fit anew.

    What users buy becomes part of their history, by which they are priced from then on.
    """
    live = shifted(live, name, course)
    log = live.visits(pd.Timestamp(0, tz="UTC"), live.opens_at)
    behaviour = [live.tables(live.opens_at)["behaviour"]]
    shown: list[pd.DataFrame] = []
    share, alarmed, retrained, first = [], [], [], 0
    for day in range(course.days):
        since = live.opens_at + day * DAY
        behaviour.append(live.events(since, since + DAY))
        visits = with_history(live.visits(since, since + DAY), pd.concat(behaviour))
        quotes = quoted(model, visits, live, policy())
        ratio = (quotes["price"] / quotes["list_price"]).to_numpy("float64")
        bought = live.answers(visits, ratio)
        behaviour.append(live.purchases(visits, bought))
        shown.append(quotes.assign(purchased=bought, decision_id=visits.frame["decision_id"]))
        share.append(_of_oracle(live.market, visits, ratio))
        of_model = pd.concat(shown[first:])  # the monitor looks at the live version's quotes alone
        _, checks = judged(of_model, live, since + DAY, features=True)
        if checks:
            alarmed.append({"day": day, "checks": checks})
            logger.info("%s, day %d: alarm by %s", name, day, ", ".join(checks))
        if checks and retrain and len(retrained) < course.retrainings:
            model = fitted(_offers(live, log, pd.concat(shown), pd.concat(behaviour)))
            retrained.append(day)
            first = day + 1
    return {"shift": name, "share": share, "alarmed": alarmed, "retrained": retrained, "retrain": retrain}


def _offers(live: LiveMarket, log: Decisions, shown: pd.DataFrame, behaviour: pd.DataFrame) -> Decisions:
    """The log, and the quotes after it with their outcomes."""
    visits = live.visits(live.opens_at, live.opens_at + (int(shown["window"].max()) + 1) * DAY)
    came = shown.set_index("decision_id").loc[visits.frame["decision_id"]].reset_index()
    bought = came["purchased"].astype("float64")
    known = came[["price", "randomised", "propensity"]].assign(purchased=bought, quoted=True)
    offers = log.join(replace(visits, frame=visits.frame.assign(**known)))
    return with_history(offers, behaviour)


def _of_oracle(market: Marketplace, visits: Decisions, ratio: Array) -> float:
    cost = visits.frame["unit_cost"].to_numpy("float64")
    best = market.best_ratio(visits, cost, policy_bounds(market, visits, policy()))
    return float(market.profit(visits, ratio).sum() / market.profit(visits, best).sum())


def summary(watches: list[Watch], course: Course) -> dict[str, Any]:
    """Return detection by shift, and how often windows without a shift breach and alarm."""
    found: dict[str, Any] = {}
    for name in SHIFTS:
        mine = [watch for watch in watches if watch.shift == name]
        calm = [day for watch in mine for day in watch.alarmed[: None if name == "none" else course.shift_day]]
        detections = [watch.detection(course.shift_day) for watch in mine] if name != "none" else []
        seen = [days for days in detections if days is not None]
        found[name] = {
            "seeds": len(mine),
            "windows_without_shift": len(calm),
            "false_alarms": sum(map(bool, calm)),
            "breaches": Counter(
                check for watch in mine for day in (watch.breached if name == "none" else []) for check in day
            ),
            "detected": len(seen),
            "median_windows": float(np.median(seen)) if seen else None,
            "slowest_windows": max(seen, default=None),
            "alarmed_first": Counter(
                check
                for watch in mine
                if name != "none" and (days := watch.detection(course.shift_day))
                for check in watch.alarmed[course.shift_day + days - 1]
            ),
        }
    return found


def main() -> None:
    """Watch all seeds, trace one course of each shift, and write the report."""
    parser = argparse.ArgumentParser(description="A demand shift on a marketplace whose truth is known.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=24)
    for name, value in asdict(Course()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # of itself it tells what it registers
    course = Course(**{name: getattr(arguments, name) for name in asdict(Course())})
    folder = arguments.results / "demand_shift"
    folder.mkdir(parents=True, exist_ok=True)
    live = course.live(folder / "vectors")
    started = time.perf_counter()
    model = fitted(live.visits(pd.Timestamp(0, tz="UTC"), live.opens_at))
    logger.info("fitted in %.0f s", time.perf_counter() - started)
    visits = live.visits(live.opens_at, live.opens_at + course.days * DAY)
    quotes = quoted(model, visits, live, policy())
    watches = []
    for name in SHIFTS:
        started = time.perf_counter()
        watches += [watched(quotes, visits, live, name, course, seed) for seed in range(arguments.seeds)]
        logger.info("%s: watched %d seeds in %.0f s", name, arguments.seeds, time.perf_counter() - started)
    found = {"course": asdict(course), "summary": summary(watches, course), "watches": [asdict(w) for w in watches]}
    file = folder / "watches.json"
    file.write_text(json.dumps(found, indent=1))
    logger.info("%s", json.dumps(found["summary"]))
    courses = []
    for name in SHIFTS:
        for retrain in (False, True) if name != "none" else (False,):
            kept = folder / f"course-{list(SHIFTS).index(name)}-{retrain}.json"
            if not kept.exists() or json.loads(kept.read_text())["course"] != asdict(course):
                kept.write_text(
                    json.dumps({"course": asdict(course)} | traced(model, live, name, course, retrain=retrain))
                )
            courses.append(json.loads(kept.read_text()))
    write_report(found, courses, arguments.results / "report")


if __name__ == "__main__":
    main()
