from functools import cache
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from models.features.content import ProductContent
from models.simulation.domains import Domain
from models.simulation.draws import Draws
from models.simulation.marketplace import Marketplace, MarketplaceConfig, MarketplaceError, simulate

DOMAINS = get_args(Domain)


@cache
def market(domain: Domain = "ecommerce", *, confounded: bool = True, offers: int = 6_000) -> Marketplace:
    return simulate(MarketplaceConfig(domain, users=400, products=20, offers=offers, confounded=confounded))


def unexplained(market: Marketplace) -> np.ndarray:
    """Purchases beyond what the truth says, averaged over the shock nobody recorded (rows,)."""
    log = market.log
    return log.purchased - market.purchase_probability(log, log.price_ratio)


@pytest.mark.parametrize("domain", DOMAINS)
def test_purchases_follow_the_truth_where_prices_were_drawn(domain: Domain) -> None:
    drawn = market(domain).log.randomised
    surplus = unexplained(market(domain))[drawn]
    assert abs(surplus.mean()) < 4 * surplus.std() / np.sqrt(drawn.sum())


@pytest.mark.parametrize("domain", DOMAINS)
def test_demand_falls_in_price_and_no_price_beats_the_oracle(domain: Domain) -> None:
    shop = market(domain)
    requests = shop.requests
    lower, upper = shop.bounds(requests)
    best = shop.profit(requests, shop.oracle(requests))
    probabilities = []
    for share in np.linspace(0, 1, 11):
        ratio = lower + share * (upper - lower)
        probabilities.append(shop.purchase_probability(requests, ratio))
        assert (shop.profit(requests, ratio) <= best * (1 + 1e-6)).all()
    assert (np.diff(probabilities, axis=0) < 0).all()


@pytest.mark.parametrize("domain", DOMAINS)
def test_one_price_for_all_leaves_much_of_the_profit(domain: Domain) -> None:
    shop = market(domain)
    best = shop.profit(shop.requests, shop.oracle(shop.requests)).sum()
    assert 0.8 < shop.profit(shop.requests, shop.best_uniform_ratio(shop.requests)).sum() / best < 0.93


def test_logged_prices_follow_hidden_demand_and_those_of_the_twin_do_not() -> None:
    def link(shop: Marketplace) -> float:
        usual = ~shop.log.randomised
        ratio, surplus = shop.log.price_ratio[usual], unexplained(shop)[usual]
        return float(np.corrcoef(ratio, surplus)[0, 1])

    assert link(market(offers=20_000)) > 0.1
    assert abs(link(market(offers=20_000, confounded=False))) < 0.03


def test_a_log_and_its_twin_share_their_draws() -> None:
    one, twin = market(), market(confounded=False)
    pd.testing.assert_frame_equal(one.tables["users"], twin.tables["users"])
    pd.testing.assert_frame_equal(one.tables["products"], twin.tables["products"])
    pd.testing.assert_frame_equal(one.tables["market"], twin.tables["market"])
    pd.testing.assert_frame_equal(one.curves, twin.curves)
    assert (one.log.randomised == twin.log.randomised).all()
    drawn = one.log.randomised
    np.testing.assert_array_equal(one.log.price_ratio[drawn], twin.log.price_ratio[drawn])


def test_the_same_seed_gives_the_same_marketplace_and_another_seed_another() -> None:
    config = MarketplaceConfig(users=50, products=8, offers=300)
    first, second = simulate(config), simulate(config)
    pd.testing.assert_frame_equal(first.log.frame, second.log.frame)
    assert not simulate(MarketplaceConfig(users=50, products=8, offers=300, seed=1)).log.frame.equals(first.log.frame)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_size_of_the_blocks_changes_no_row(domain: Domain) -> None:
    draws = Draws.of(market(domain).config)
    for name, whole in market(domain).tables.items():
        for users in (7, 150, 1_000):
            rows = pd.concat(draws.blocks(name, users), ignore_index=True)
            pd.testing.assert_frame_equal(rows, whole)


@pytest.mark.parametrize("domain", DOMAINS)
def test_blocks_hold_no_more_than_their_users(domain: Domain) -> None:
    draws = Draws.of(market(domain).config)
    for name in ("users", "behaviour", "offers"):
        assert max(block["user_id"].nunique() for block in draws.blocks(name, 30)) <= 30


def test_new_products_are_offered_after_the_log_alone() -> None:
    shop = simulate(MarketplaceConfig(users=200, products=20, offers=3_000, new_share=0.25))
    logged, asked = (set(decisions.frame["product_id"]) for decisions in (shop.log, shop.requests))
    assert len(asked - logged) == 5
    before = shop.tables["behaviour"]["occurred_at"] < shop.tables["offers"]["offered_at"].max()
    assert not set(shop.tables["behaviour"].loc[before, "product_id"]) & (asked - logged)


def test_prices_are_whole_cents_inside_the_guardrails_and_every_one_has_a_density() -> None:
    offers = market().tables["offers"]
    cents = offers["price"] * 100
    assert np.allclose(cents, cents.round(), atol=1e-6)
    assert offers["price"].between(offers["floor"], offers["ceiling"]).all()
    assert (offers["propensity"] > 0).all()
    assert offers["randomised"].mean() == pytest.approx(0.1, abs=0.02)
    assert len(offers) == 6_000


def test_histories_end_before_the_decision() -> None:
    for decisions in (market().log, market().requests):
        start, end = decisions.events_window
        last = decisions.events["occurred_at"].to_numpy()[end - 1]
        assert (end > start).all()
        assert (last < decisions.frame["decided_at"].to_numpy()).all()


def test_hidden_traits_show_in_behaviour() -> None:
    shop = market()
    events = shop.tables["behaviour"]
    thrift = events["kind"].eq("filter_price").groupby(events["user_id"]).mean()
    user = shop.requests.frame["user_id"]
    sensitivity = shop.curves["sensitivity"].reindex(shop.requests.frame["decision_id"]).to_numpy()
    assert np.corrcoef(thrift[user], np.log(sensitivity))[0, 1] > 0.6


def test_only_domains_that_have_them_have_pictures_and_pools() -> None:
    assert {domain for domain in DOMAINS if market(domain).images} == {"ecommerce", "hotel", "automobile"}
    assert {domain for domain in DOMAINS if "inventory" in market(domain).tables} == {"hotel"}


def test_content_reaches_log_and_requests() -> None:
    nothing = np.zeros((1, 0), "float32")
    content = ProductContent(("product-0000",), nothing, nothing)
    shop = market().with_content(content)
    assert shop.log.content is content
    assert shop.requests.content is content


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"domain": "zoo"}, "zoo"),
        ({"products": 2}, "2 products"),
        ({"randomised_share": 2.0}, "2.0"),
        ({"new_share": 0.8}, "0.8"),
    ],
)
def test_what_cannot_be_simulated_is_refused(wrong: dict, named: str) -> None:
    with pytest.raises(MarketplaceError, match=named):
        MarketplaceConfig(**wrong)


def test_a_decision_of_another_marketplace_has_no_truth() -> None:
    requests = market().requests
    stranger = type(requests)(requests.frame.assign(decision_id="stranger"), requests.events)
    with pytest.raises(MarketplaceError, match="stranger"):
        market().purchase_probability(stranger, np.ones(len(stranger)))
