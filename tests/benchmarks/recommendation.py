"""How well products are chosen for a user: the next basket in Ta Feng's held-out weeks, beside what is hard to beat.

    python -m tests.benchmarks.recommendation --results results

Every user with a basket in the last four weeks and one before them is asked for, with what was known when those weeks
began. Needs the features that `pricing run` has extracted, under PRICING_HOME.
"""

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.features.decisions import EVENT_COLUMNS, Decisions, microseconds, split_by_time
from models.features.history import history_features
from tasks.settings import Settings
from tasks.sources.tafeng import TaFeng
from tests.benchmarks.next_basket import (
    Purchases,
    TifuKnn,
    hits,
    ndcg,
    personal_frequency,
    popularity,
    ranked,
    recall,
    relevance,
)
from tests.benchmarks.tafeng import fitted_demand, tafeng_offers

logger = logging.getLogger("pricing.benchmark")

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
POPULAR = 100  # products every user is a candidate for, beside those of their own baskets
SHOWN = 20
HOLDOUT_DAYS = 28
REPLICATES = 1_000
_MICROSECONDS_PER_DAY = 86_400_000_000
_BLOCK = 1_000
_PRICED = ("list_price", "price", "category")


@dataclass(frozen=True)
class Task:
    """What users bought before the held-out weeks, who is `asked` for (users,), and each one's next basket."""

    behaviour: pd.DataFrame
    start: pd.Timestamp
    users: pd.Index
    products: pd.Index
    past: Purchases
    asked: Codes
    target: csr_array

    @classmethod
    def of(cls, behaviour: pd.DataFrame, start: pd.Timestamp) -> Self:
        """Cut the purchases at `start`."""
        is_past = behaviour["occurred_at"] < start
        past, future = behaviour[is_past].reset_index(drop=True), behaviour[~is_past]
        users, products = (pd.Index(np.unique(behaviour[name])) for name in ("user_id", "product_id"))
        before, after = (_purchases(part, users, products) for part in (past, future))
        asked = np.intersect1d(before.user, after.user)
        return cls(past, start, users, products, before, asked, csr_array(after.next_baskets()[asked]))

    @cached_property
    def own(self) -> csr_array:
        """Each asked user's own baskets with each product (users, products)."""
        return csr_array(personal_frequency(self.past)[self.asked])

    @cached_property
    def popular(self) -> Array:
        """Everybody's baskets with each product over the most of any (products,)."""
        count = popularity(self.past)
        return np.asarray(count / count.max())

    def pairs(self) -> tuple[Codes, Codes]:
        """Return the candidates as places of users and products (pairs,), by user."""
        row, column = self.own.nonzero()
        best = np.argsort(-self.popular)[:POPULAR]
        everyone = np.repeat(np.arange(len(self.asked)), POPULAR)
        rows, columns = np.append(row, everyone), np.append(column, np.tile(best, len(self.asked)))
        pair = np.unique(rows * len(self.products) + columns)
        user, product = np.divmod(pair, len(self.products))
        return user.astype(np.int64), product.astype(np.int64)


def main() -> None:
    """Rank by each method and write `recommendation.json` and `recommendation.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    offers = tafeng_offers()
    task = Task.of(purchases_of_tafeng(), _first_held_out_day(offers))
    found = {name: measured(task, ranking) for name, ranking in rankings(task, offers).items()}
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "recommendation.json").write_text(json.dumps(found, indent=2))
    (arguments.results / "recommendation.md").write_text(table(found))
    logger.info("%s users\n%s", f"{len(task.asked):,}", table(found))


def purchases_of_tafeng() -> pd.DataFrame:
    """Return the log's purchases as behaviour, ordered by user, then time."""
    behaviour = pd.concat(TaFeng(cache=Settings().home / "cache").batches("behaviour"))
    known = behaviour.dropna(subset=["product_id"]).reindex(columns=["event_id", "user_id", *EVENT_COLUMNS])
    ordered = known.sort_values(["user_id", "occurred_at", "event_id"], kind="stable", ignore_index=True)
    return ordered.astype({"dwell_seconds": "float64"})


def rankings(task: Task, offers: Decisions) -> dict[str, Codes]:
    """Return each method's products (users, SHOWN), best first."""
    tie = 0.5 * task.popular  # between products of one frequency
    own = task.own
    everyone = np.tile(ranked(task.popular[None], SHOWN), (len(task.asked), 1))
    tifu = np.concatenate([ranked(scores, SHOWN) for _, scores in TifuKnn().scores(task.past, task.asked)])
    user, product = task.pairs()
    probability = purchase_probabilities(task, offers, user, product)
    relevant = relevance(np.asarray(own[user, product]).ravel(), task.popular[product], probability)
    return {
        "popularity": everyone,
        "own frequency": _by_block(task, lambda users: own[users].toarray() + tie),
        "TIFU-KNN": tifu,
        "demand model alone": best_of(task, user, product, probability),
        "own frequency, then the demand model (ours)": best_of(task, user, product, relevant),
    }


def best_of(task: Task, user: Codes, product: Codes, score: Array) -> Codes:
    """Return each user's best candidates (users, SHOWN), -1 where there are fewer."""
    order = np.lexsort([-score, user])
    first = np.searchsorted(user, np.arange(len(task.asked)))
    place = np.arange(len(order)) - first[user[order]]
    shown = place < SHOWN
    ranking = np.full((len(task.asked), SHOWN), -1, dtype=np.int64)
    ranking[user[order][shown], place[shown]] = product[order][shown]
    return ranking


def purchase_probabilities(task: Task, offers: Decisions, user: Codes, product: Codes) -> Array:
    """Return the demand model's probability of each pair at the product's last price before the weeks (pairs,).

    A product without a price in the log so far has none, and 0.
    """
    known = offers.frame[offers.frame["decided_at"] < task.start].sort_values("decided_at", kind="stable")
    shared = [name for name in known if str(name).startswith("market_")]
    last = known.drop_duplicates("product_id", keep="last").set_index("product_id")[[*_PRICED, *shared]]
    homes = known.drop_duplicates("user_id", keep="last").set_index("user_id").filter(regex="^user_attr_")
    names = {"user_id": task.users[task.asked][user], "product_id": task.products[product]}
    frame = pd.DataFrame(names).assign(decision_id=np.arange(len(user)).astype(str), decided_at=task.start)
    frame = frame.join(last, on="product_id").join(homes, on="user_id")
    frame["calendar_weekday"] = str(task.start.isoweekday())
    priced = frame["list_price"].notna().to_numpy()
    frame = frame[priced].reset_index(drop=True)
    frame = pd.concat([frame, history_features(frame, task.behaviour)], axis=1)
    fitted = fitted_demand(split_by_time(offers), DemandConfig(), TrainingConfig())
    asked = Decisions(frame, task.behaviour[list(EVENT_COLUMNS)])
    probability = np.zeros(len(user))
    probability[priced] = fitted.curve(asked).purchase_probability(frame["price"] / frame["list_price"])
    return probability


def measured(task: Task, ranking: Codes) -> dict[str, Any]:
    """Return recall and NDCG with bootstrap intervals over users, and recall of bought-before and of new products."""
    repeated = csr_array(task.target.multiply(task.own > 0))
    parts = {"": task.target, "_repeat": repeated, "_new": csr_array(task.target - repeated)}
    found = {}
    for suffix, target in parts.items():
        target.eliminate_zeros()
        relevant, hit = np.diff(target.indptr).astype(np.int64), hits(ranking, target)
        found |= {f"recall_10{suffix}": recall(hit, relevant, 10), f"recall_20{suffix}": recall(hit, relevant, 20)}
        found |= {f"ndcg_10{suffix}": ndcg(hit, relevant, 10)}
    return {name: _with_interval(values[~np.isnan(values)]) for name, values in found.items()}


def table(found: dict[str, Any]) -> str:
    """Return what was found, as Markdown."""
    columns = ("recall_10", "recall_20", "ndcg_10", "recall_10_repeat", "recall_10_new")
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in found.items():
        cells = (f"{values[key][0]:.4f} [{values[key][1]:.4f}, {values[key][2]:.4f}]" for key in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _with_interval(values: Array) -> tuple[float, float, float]:
    draws = np.random.default_rng(0).poisson(1.0, (REPLICATES, len(values)))
    low, high = np.quantile(draws @ values / draws.sum(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _by_block(task: Task, scores: Callable[[slice], Array]) -> Codes:
    starts = range(0, len(task.asked), _BLOCK)
    return np.concatenate([ranked(scores(slice(first, first + _BLOCK)), SHOWN) for first in starts])


def _purchases(rows: pd.DataFrame, users: pd.Index, products: pd.Index) -> Purchases:
    user, product = users.get_indexer(rows["user_id"]), products.get_indexer(rows["product_id"])
    day = microseconds(rows["occurred_at"]) // _MICROSECONDS_PER_DAY
    return Purchases(user.astype(np.int64), product.astype(np.int64), day, len(users), len(products))


def _first_held_out_day(offers: Decisions) -> pd.Timestamp:
    newest: pd.Timestamp = offers.frame["decided_at"].max()
    return newest.normalize() - pd.Timedelta(days=HOLDOUT_DAYS - 1)


if __name__ == "__main__":
    main()
