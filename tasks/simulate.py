"""Simulate: two policies on simulated marketplaces, priced by the platform's own model and judged by the truth."""

import io
import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from models.demand.fitted import fit_demand
from models.demand.network import DemandConfig
from models.demand.training import SMALL_LOG_TRAINING
from models.features.content import Encoders, ProductContent
from models.pricing.fairness import Parity
from models.pricing.policy import PricingPolicy
from models.pricing.presets import PRESETS
from models.simulation.marketplace import Marketplace, MarketplaceConfig, simulate
from models.simulation.policy_trial import FIGURES, Comparison, Trial, compare
from models.simulation.season import Season
from models.simulation.season_comparison import compare_controls
from models.simulation.season_pricing import LIST_PRICE
from tasks.markdown import markdown_table
from tasks.registry.policies import read_policy
from tasks.training.encoders import chosen_encoders, embed_pictures, embed_texts
from tasks.training.gpu import best_device, gpu_slot

log = logging.getLogger("pricing.simulate")

CURRENCY = "EUR"
LIST_PRICE_NAME = "list price"
VALIDATION_SHARE = 0.125  # of the log's time, its last

SEASON_COLUMNS = ("", "profit", "short of the oracle", "units sold", "turned away")
LABELS = {
    "profit": "profit a request",
    "satisfaction": "users' gain a request",
    "regret": "short of the best profit",
    "share_sold": "units sold",
    "price_to_list": "price / list price",
    "at_guardrail": "held by a guardrail",
}


@dataclass(frozen=True)
class TriedPolicy:
    """A policy's outcome on all marketplaces, one row a request, and the limits that its prices could not keep."""

    name: str
    outcome: pd.DataFrame
    violated: int


@dataclass(frozen=True)
class Simulation:
    """Two policies compared, as figures and as lines for a person to read."""

    domain: str
    names: tuple[str, str]
    comparison: Comparison
    violated: tuple[int, int]
    season: pd.DataFrame | None  # ways to sell the same stock under the first policy, where stock is scarce

    def rows(self) -> list[tuple[str, str, str, str]]:
        """What is measured, both policies' figures, and the difference with its interval."""
        both, earned = self.comparison, self.comparison.profit
        lines = [("profit", f"{earned[0]:,.0f}", f"{earned[1]:,.0f}", "")]
        lines += [self._figure(name) for name in FIGURES]
        lines += _parity_rows(both.parity[0].offered, both.parity[1].offered)
        if any(self.violated):
            lines.append(("limits not kept", str(self.violated[0]), str(self.violated[1]), ""))
        return lines

    def season_rows(self) -> list[tuple[str, ...]]:
        """Each way to sell the season, its profit, units sold and users turned away; none without scarce stock."""
        if self.season is None:
            return []
        return [
            (str(way), f"{row['profit']:,.0f}", f"{row['regret']:.1%}", f"{row['sold']:,.0f}", f"{row['refused']:,.0f}")
            for way, row in self.season.iterrows()
        ]

    def verdict(self) -> str:
        """One sentence: who earns more, and what users make of it."""
        first, second = self.names
        return (
            f"Against {second}, {first} earns {self._change('profit')}; "
            f"users gain {self._change('satisfaction')} by their purchases."
        )

    def _figure(self, name: str) -> tuple[str, str, str, str]:
        row = self.comparison.figures.loc[name]
        money = FIGURES[name].relative
        first, second = (f"{row[side]:,.2f}" if money else f"{row[side]:.1%}" for side in ("first", "second"))
        unit = "%" if money else "points"
        interval = f"{100 * row['difference']:+.1f} {unit} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
        return LABELS[name], first, second, interval

    def _change(self, name: str) -> str:
        row = self.comparison.figures.loc[name]
        if row["low"] <= 0 <= row["high"]:
            return f"neither clearly more nor less ({row['low']:+.1%} to {row['high']:+.1%})"
        amount = f"{abs(row['difference']):.1%} {'more' if row['difference'] > 0 else 'less'}"
        return f"{amount} ({row['low']:+.1%} to {row['high']:+.1%})"


@task
def learn(config: MarketplaceConfig) -> Trial:
    """Simulate a marketplace and fit the demand model on its log, products' texts and pictures included.

    Raises:
        ContentError: an encoder's files are not those that were checked.
        TrainingError: the simulated offers hold one outcome only.
    """
    started, device = perf_counter(), best_device()
    simulated, training_config = simulate(config), replace(SMALL_LOG_TRAINING, seed=config.seed)
    log.info("seed %d: %s offers and %s requests in %s", config.seed, f"{len(simulated.log):,}",
             f"{len(simulated.requests):,}", config.domain)  # fmt: skip
    with gpu_slot(device):
        market = _with_content(simulated)
        at = market.log.decided_at
        is_validation = at > np.quantile(at, 1 - VALIDATION_SHARE)
        training, validation = market.log.select(~is_validation), market.log.select(is_validation)
        demand, _ = fit_demand(training, validation, DemandConfig(), training_config, device)
    log.info("seed %d: fitted the demand model, in %.0f s", config.seed, perf_counter() - started)
    return Trial(market, demand.curve, partial(demand.curve, personal=False))


@task
def try_policy(trials: list[Trial], name: str) -> TriedPolicy:
    """Price the requests of every marketplace under a policy, and see what the truth makes of the prices.

    Raises:
        PolicyError: the policy is neither a preset nor a valid file, or its groups are unknown.
    """
    started = perf_counter()
    policy = named_policy(name)
    books = [trial.price(policy, CURRENCY) for trial in trials]
    judged = [trial.judge(book.prices, policy.fairness.group) for trial, book in zip(trials, books, strict=True)]
    log.info("priced %s requests under %s in %.0f s", f"{sum(map(len, judged)):,}", name, perf_counter() - started)
    violated = sum(len(book.certificate.violated) for book in books)
    return TriedPolicy(name, pd.concat(judged, ignore_index=True), violated)


@task
def sell_season(trials: list[Trial], name: str) -> pd.DataFrame | None:
    """Sell the scarce stock request by request, in each way to treat it under a policy: means over the marketplaces.

    Raises:
        PolicyError: the policy is neither a preset nor a valid file.
    """
    if trials[0].stock is None:
        return None
    started, policy, tables = perf_counter(), named_policy(name), []
    for trial in trials:
        season, seed = Season.of(trial.marketplace), trial.marketplace.config.seed
        pricer = season.pricer(trial.curve_of, trial.uniform_curve_of, policy, CURRENCY)
        tables.append(compare_controls(season, pricer, range(seed, seed + 1)))
    log.info("sold the season's stock in five ways, in %.0f s", perf_counter() - started)
    return pd.concat(tables).groupby("variant", sort=False).mean()


@task
def report_simulation(first: TriedPolicy, second: TriedPolicy, season: pd.DataFrame | None, domain: str) -> Simulation:
    """Compare both, and keep the comparison as a page and a table of the flow run."""
    comparison, violated = compare(first.outcome, second.outcome), (first.violated, second.violated)
    simulation = Simulation(domain, (_shown(first.name), _shown(second.name)), comparison, violated, season)
    columns = ("figure", "first", "second", "difference (95 % interval)")
    table = [dict(zip(columns, row, strict=True)) for row in simulation.rows()]
    create_table_artifact(table, key="simulation-figures", description=simulation.verdict())
    create_markdown_artifact(simulation_page(simulation), key="simulation", description=f"Policies in {domain}")
    return simulation


def named_policy(name: str) -> PricingPolicy:
    """The preset, the policy of a TOML file, or the one that charges everyone the list price.

    Raises:
        PolicyError: it is none of these.
    """
    return LIST_PRICE if name == LIST_PRICE_NAME else read_policy(name)


def simulation_page(simulation: Simulation) -> str:
    """The comparison as Markdown."""
    columns = ("", *simulation.names, "difference (95 % interval)")
    lines = [f"# Two policies in a simulated {simulation.domain} market", "", simulation.verdict(), ""]
    lines.append(markdown_table(columns, simulation.rows(), right=columns[1:]))
    if rows := simulation.season_rows():
        lines += ["", f"## The same stock sold over a week under {simulation.names[0]}", ""]
        lines.append(markdown_table(SEASON_COLUMNS, rows, right=SEASON_COLUMNS[1:]))
    return "\n".join(lines)


def _shown(name: str) -> str:
    """A policy's name as a heading: of a path only the file."""
    return name if name in PRESETS else Path(name).name


def _parity_rows(first: Parity, second: Parity) -> list[tuple[str, str, str, str]]:
    means = [{one.group: f"{one.mean:.1%}" for one in parity.groups} for parity in (first, second)]
    names = sorted(set(means[0]) | set(means[1]))
    rows = [(f"group {name}, price / uniform", *(side.get(name, "") for side in means), "") for name in names]
    gap = f"{100 * (first.gap - second.gap):+.1f} points"
    return [(label, one, other, "") for label, one, other, _ in rows] + [
        ("gap between the groups", f"{first.gap:.1%}", f"{second.gap:.1%}", gap)
    ]


def _with_content(market: Marketplace) -> Marketplace:
    """Read the products' texts and pictures by the encoders that work offline, where they are installed."""
    encoders = chosen_encoders(None, None if market.images else "none")
    products = market.tables["products"]
    ids = tuple(products["product_id"].astype(str))
    nothing = np.empty((len(ids), 0), "float32")
    texts = (products["title"] + ". " + products["description"]).tolist()
    text = embed_texts(encoders.text)(texts) if encoders.text else nothing
    image = embed_pictures(encoders.image)([_png(market.images[name]) for name in ids]) if encoders.image else nothing
    return market.with_content(ProductContent(ids, text, image, Encoders(encoders.text, encoders.image)))


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()
