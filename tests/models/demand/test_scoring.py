import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import wrightomega

from models.demand.fitted import fit_demand
from models.demand.network import DemandConfig
from models.demand.scoring import PairScorer, ProductTerms, best_prices, wright_omega
from models.demand.training import TrainingConfig
from models.features.decisions import Decisions
from models.pricing.objective import Objective, closed_form
from models.simulation.marketplace import MarketplaceConfig, simulate

USERS, PRODUCTS = 40, 9


@pytest.fixture(scope="module")
def pairs():
    """A fitted ensemble, one decision a user, one a product, and all their pairs as decisions of their own."""
    market = simulate(MarketplaceConfig(users=300, products=PRODUCTS, offers=6_000))
    log = market.log
    training, validation = log.select(np.arange(5_000)), log.select(np.arange(5_000, len(log)))
    small = TrainingConfig(epochs=1, histories=64)
    fitted, _ = fit_demand(training, validation, DemandConfig(dimension=16, members=2), small, torch.device("cpu"))
    frame = market.requests.frame
    users = frame.drop_duplicates("user_id").head(USERS)
    users = users.assign(consent=np.arange(USERS) % 7 != 0, decided_at=users["decided_at"] + pd.Timedelta(days=2))
    products = frame.drop_duplicates("product_id")
    rest = {name: 0.0 for name in frame if name.startswith("pair_")}
    rest |= {name: np.nan for name in frame if name.startswith("pair_days")}
    nobody = {name: np.nan for name in frame if name.startswith("activity_")}
    products = products.assign(**rest, **nobody, consent=False, events_start=0, events_end=0)
    personal = [name for name in frame if name.startswith(("user_", "activity_", "events_"))]
    columns = [*personal, "consent", "decided_at"]
    crossed = products.drop(columns=columns).merge(users[columns], how="cross")
    every = [Decisions(part.reset_index(drop=True), log.events) for part in (users, products, crossed)]
    return fitted, *every


def test_two_tower_passes_give_the_models_own_curves(pairs):
    fitted, users, products, crossed = pairs
    scorer = PairScorer.of(fitted, users, products)
    assert scorer.shape == (USERS, PRODUCTS)
    found = [scorer.curves(block) for block in scorer.blocks(pairs=100)]
    level, sensitivity = (torch.cat(part).numpy() for part in zip(*found, strict=True))
    own = fitted.curve(crossed)
    assert np.ptp(own.sensitivity) > 0.01
    np.testing.assert_allclose(sensitivity.T.ravel(), own.sensitivity, rtol=1e-5)
    np.testing.assert_allclose(level.T.ravel(), own.sensitivity * (own.valuation - 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("satisfaction_weight", [0.0, 0.4])
def test_prices_are_those_of_the_closed_form(pairs, satisfaction_weight):
    fitted, users, products, crossed = pairs
    scorer = PairScorer.of(fitted, users, products)
    money = [products.frame[name].to_numpy("float64") for name in ("list_price", "unit_cost")]
    list_price, unit_cost = (np.repeat(amount, USERS) for amount in money)
    exact = closed_form(Objective(fitted.curve(crossed), list_price, unit_cost, satisfaction_weight))
    low, high = np.quantile(exact / list_price, [0.2, 0.7])
    terms = ProductTerms.of(*money, low * money[0], high * money[0])
    price = best_prices(scorer.curves(slice(0, USERS)), terms, satisfaction_weight)
    np.testing.assert_allclose(price.numpy().T.ravel(), np.clip(exact, low * list_price, high * list_price), rtol=1e-5)


def test_no_users_and_no_products(pairs):
    fitted, users, products, _ = pairs
    empty = PairScorer.of(fitted, users.select(np.arange(0)), products)
    assert list(empty.blocks()) == []
    assert empty.curves(slice(0, 0)).level.shape == (0, PRODUCTS)


def test_blocks_cover_every_user_once(pairs):
    scorer = PairScorer.of(*pairs[:3])
    covered = [user for block in scorer.blocks(pairs=50) for user in range(block.start, block.stop)]
    assert covered == list(range(USERS))


@given(st.lists(st.floats(-80, 1e6), min_size=1, max_size=20))
def test_omega_solves_its_equation(values):
    z = torch.tensor(values, dtype=torch.float64)
    np.testing.assert_allclose(wright_omega(z).numpy(), wrightomega(z.numpy()), rtol=1e-13)
    single = wright_omega(z.float()).numpy()
    np.testing.assert_allclose(single, wrightomega(z.float().double().numpy()), rtol=2e-5)
