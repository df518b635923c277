from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import torch

import tasks.training.evaluate
from models.demand.evaluation import Evaluation
from models.demand.fitted import fit_demand
from models.demand.network import DemandConfig
from models.demand.training import TrainingConfig
from models.evidence.gates import OF_PRICES, promotion_gates
from models.features.decisions import split_by_time
from models.pricing.policy import Exploration
from models.pricing.presets import PRESETS
from models.simulation.marketplace import MarketplaceConfig, simulate
from tasks.data.snapshots import Snapshot
from tasks.quotes.reprice import reprice_all
from tasks.registry.model_card import model_card
from tasks.registry.versions import RegisteredDemand
from tasks.training.evaluate import _intervals, evaluate, evidence_line, figures_under
from tasks.training.fit import TrainedDemand
from tests.tasks.conftest import POLICY

SNAPSHOT = Snapshot("a" * 64, "shop", "EUR", {}, datetime(2026, 4, 1, tzinfo=UTC))
SMALL = DemandConfig(dimension=8, layers=1, history_length=4)


@pytest.fixture(scope="module")
def trained() -> TrainedDemand:
    log = simulate(MarketplaceConfig(users=200, products=12, offers=6_000, randomised_share=0.5)).log
    drawn = log.frame["propensity"].where(np.arange(len(log)) % 3 > 0)  # that of every third offer was not kept
    split = split_by_time(replace(log, frame=log.frame.assign(propensity=drawn)))
    fitted, report = fit_demand(split.train, split.validation, SMALL, TrainingConfig(epochs=2), torch.device("cpu"))
    return TrainedDemand(fitted, split, report, 1.0)


@contextmanager
def without_database(trained: TrainedDemand, champion: int | None) -> Iterator[type[RegisteredDemand]]:
    """Every version is the fitted model; `champion` is None for the first version."""
    users = trained.split.test.frame["user_id"]
    intervals = pd.DataFrame(
        columns=["decision_id", "held_lower", "held_upper", "held_live_price", "held_live_uniform_price"]
    )
    groups = pd.Series(np.where(users.str[-1] < "5", "a", "b"))

    class Version(RegisteredDemand):
        def demand(self):
            return trained.fitted

        def parameters(self):
            return {"holdout_days": "28", "validation_days": "14.0"}

    class Features:
        def read(self):
            return trained.split.train.join(trained.split.validation).join(trained.split.test)

    fakes = {
        "transaction": lambda url: nullcontext(),
        "database_url": lambda settings: "",
        "read_frame": lambda connection, query, given: intervals[intervals["decision_id"].isin(given["quotes"])],
        "read_rows": lambda connection, query, given: [{"cold_start": given["version"] == 4}],
        "read_content": lambda *arguments: None,
        "groups_of_users": lambda *arguments: groups.iloc[-len(arguments[-1]) :],
        "champion_of": lambda dataset: None if champion is None else Version(champion, "run", dataset),
        "version_of": lambda number: Version(int(number), "run", "shop"),
        "features_of": lambda snapshot: Features(),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, fake in fakes.items():
            patch.setattr(tasks.training.evaluate, name, fake)
        yield Version


def measure(trained: TrainedDemand, champion: int | None) -> Evaluation:
    with without_database(trained, champion):
        return evaluate.fn(trained, SNAPSHOT, PRESETS["open"])


@pytest.fixture(scope="module")
def against_itself(trained: TrainedDemand) -> Evaluation:
    return measure(trained, champion=4)


def test_every_gate_finds_its_figure_for_a_first_version(trained):
    figures = measure(trained, champion=None).figures
    assert all(np.isfinite(list(figures.values())))
    assert all(np.isfinite(gate.measured) for gate in promotion_gates(figures, 0))
    assert figures["off_policy_against"] == 0
    drawn, asked = trained.split.test.frame["propensity"].notna(), trained.split.test.consent
    assert figures["off_policy_offers"] == (drawn & asked).sum()
    assert figures["off_policy_offers_without_density"] == (~drawn & asked).sum()
    assert figures["guardrail_violations"] == figures["protected_group_changes"] == 0
    assert "against the logged prices" in evidence_line(figures)


@pytest.mark.parametrize("rival", [None, 4])
def test_a_registered_version_is_measured_under_a_named_policy_as_in_its_evaluation(trained, rival):
    def figures(policy):
        with without_database(trained, rival) as version:
            return figures_under(policy, version(5, "run", "shop"), rival or 0, SNAPSHOT)

    evaluated = measure(trained, rival).figures
    again = figures(PRESETS["open"])
    assert {name for name in evaluated if name.startswith(OF_PRICES)} == again.keys()
    for name, figure in again.items():
        if name.startswith("latency_"):  # taken anew
            continue
        assert figure == pytest.approx(evaluated[name], rel=1e-9), name
    tight = figures(PRESETS["ecommerce"])
    assert tight["off_policy_profit"] != again["off_policy_profit"]


def test_a_model_up_against_itself_earns_nothing_more_and_takes_about_as_long(against_itself):
    figures = against_itself.figures
    assert (figures["off_policy_against"], figures["off_policy_against_cold"]) == (4, 1)
    assert figures["off_policy_uplift"] == 0
    assert 0 < figures["latency_ratio_low"] <= figures["latency_ratio"]
    assert "against version 4" in evidence_line(figures)
    gates = {gate.name: gate for gate in promotion_gates(figures, 4)}
    assert gates["off-policy uplift, 95 % upper bound"].passed  # no worse is enough beside a cold start
    proven = {gate.name: gate for gate in promotion_gates(figures | {"off_policy_against_cold": 0.0}, 4)}
    assert not proven["off-policy uplift, 95 % lower bound"].passed  # beside a proven champion it is not
    assert len([gate for gate in gates.values() if not np.isfinite(gate.measured)]) == 0


def test_the_card_tells_what_the_prices_would_have_earned(against_itself, trained):
    card = model_card(trained, against_itself, SNAPSHOT, "run")
    assert evidence_line(against_itself.figures) in card
    assert "× the champion's time" in card
    unexplored = {"off_policy_offers": 0.0, "off_policy_offers_without_density": 7.0, "off_policy_against": 4.0}
    assert evidence_line(unexplored).endswith("against version 4: 7 held-out offers have no propensity")


def test_a_quotes_interval_is_the_one_its_price_was_drawn_from(book_shop):
    """Repricing keeps a draw of the same day, but bounds it anew by steps around itself."""
    book_shop.published(POLICY.model_copy(update={"exploration": Exploration(share=0.5)}))
    first = asked(book_shop)
    for second in (1, 2, 3):
        book_shop.run(
            "SELECT pricing.record_event('u001', 'view', 'p03', occurred_at => as_of + interval '"
            f"{second} s') FROM data.snapshots"
        )
    reprice_all(book_shop.url, 100, demands=lambda version: book_shop.demand)
    again = asked(book_shop)
    drawn = first["randomised"]
    assert 0 < drawn.sum() < len(drawn)
    pd.testing.assert_series_equal(again["randomised"], drawn)
    held, before = (_intervals(quotes["quote_id"]) for quotes in (again, first))
    other = pd.Series(["no quote", "00000000-0000-0000-0000-000000000000"])
    assert _intervals(other).isna().all(axis=None)
    for side in ("lower", "upper"):
        np.testing.assert_allclose(before[f"held_{side}"], first[side])
        np.testing.assert_allclose(held[f"held_{side}"], first[side].where(drawn, again[side]))
    assert (again["lower"] != first["lower"])[drawn].any()


def asked(shop) -> pd.DataFrame:
    """What one user is quoted for every product."""
    shop.run("SELECT quote.price FROM data.products, pricing.quote('u001', products.product_id) AS quote")
    return shop.rows(
        "SELECT DISTINCT ON (product_id) quote_id::text, randomised, lower::double precision, upper::double precision"
        " FROM pricing.quotes WHERE source = 'personal' ORDER BY product_id, quoted_at DESC"
    )
