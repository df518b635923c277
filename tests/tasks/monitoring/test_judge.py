"""Monitoring on a real database: quotes and their outcomes in, findings and alarms out."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness
from pydantic import ValidationError

import tasks.monitoring.judge
from flows.monitor import MonitorParameters, monitor
from models.evidence.drift import Finding, response_finding
from models.pricing.policy import Fairness, PricingPolicy
from tasks.markdown import GAP
from tasks.monitoring.judge import Alarm, Surveillance, judge, raise_alarms
from tasks.monitoring.observe import Freshness, Observation, Windows, observed_at
from tasks.monitoring.report import monitor_page
from tasks.registry.pages import version_link

NOW = datetime.now(UTC)
POLICY = PricingPolicy()
WINDOWS = Windows(hours=1, count=3)


def quote_everyone(shop: Any, share_bought: float) -> None:
    """Quote all pairs and tell outcomes: of the purchases the model promises, this share happens."""
    shop.quotes()
    shop.run(
        f"""
        SELECT setseed(0.5);
        INSERT INTO pricing.outcomes (quote_id, purchased, quantity)
        SELECT quote_id,
               random() < {share_bought} / (1 + exp(-sensitivity * (valuation - (price / list_price)::float8))), 1
        FROM pricing.quotes WHERE source = 'personal';
        """
    )
    shop.run(f"UPDATE pricing.quotes SET quoted_at = '{WINDOWS.ends(NOW)[-1] - timedelta(minutes=20)}'")


def observe(shop: Any) -> Observation:
    observation = observed_at(NOW, WINDOWS, shop.url)
    assert observation is not None
    return observation


def breached(surveillance: Surveillance) -> set[str]:
    return {finding.check for finding in surveillance.findings[-1] if finding.is_breached}


def test_without_prices_there_is_nothing_to_monitor(book_shop: Any) -> None:
    assert observed_at(NOW, WINDOWS, book_shop.url) is None
    with prefect_test_harness(server_startup_timeout=120):
        state = monitor(MonitorParameters(), return_state=True)
        with get_client(sync_client=True) as client:
            (page,) = client.read_artifacts()
    assert page.key == "monitor" and "no price book is live yet" in page.data
    assert (state.name, state.result()) == ("NothingLive", None)
    assert "pricing run" in state.message


def test_the_newest_window_ends_now() -> None:
    ends = Windows(hours=2, count=3).ends(datetime(2026, 5, 4, 13, 40, tzinfo=UTC))
    assert [(end.hour, end.minute) for end in ends] == [(9, 40), (11, 40), (13, 40)]


def test_a_model_that_keeps_its_promises_raises_nothing(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=1.0)
    observation = observe(book_shop)
    surveillance = judge.fn(observation, 1, 0.01)
    known = {finding.check: finding for finding in surveillance.findings[-1]}
    assert known["purchases"].rows > 100
    assert np.isfinite(known["purchases"].value)
    assert not {"purchases", "profit", "price_response", "loss", "guardrails", "exploration"} & breached(surveillance)
    assert all(np.isnan(finding.value) for finding in surveillance.findings[0] if finding.check == "purchases")


def test_demand_that_falls_asks_for_training_and_says_so_once(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=0.2)
    observation = observe(book_shop)
    surveillance = judge.fn(observation, 1, 0.01)
    assert {"purchases", "profit", "loss"} <= breached(surveillance)
    events: list[str] = []
    monkeypatch.setattr(tasks.monitoring.judge, "emit_event", lambda event, **_: events.append(event))
    raised = raise_alarms.fn(surveillance, observation, 24)
    assert [alarm.event for alarm in raised] == events
    assert {"pricing.monitor.retrain", "pricing.monitor.roll_back"} <= set(events)
    assert raise_alarms.fn(judge.fn(observe(book_shop), 1, 0.01), observation, 24) == []
    stored = book_shop.rows("SELECT action, checks FROM pricing.alarms ORDER BY action")
    assert set(stored["action"]) == {alarm.action for alarm in raised}


def test_an_hourly_look_repeats_an_alarm_only_for_another_check_model_or_day(
    book_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    book_shop.published()
    monkeypatch.setattr(tasks.monitoring.judge, "emit_event", lambda *_, **__: None)

    def raised(hours: float, *checks: str, version: int = 1) -> int:
        found = Surveillance([], (Alarm("warn", checks),))
        return len(
            raise_alarms.fn(found, replace(observation, model_version=version, ends=[NOW + timedelta(hours=hours)]), 24)
        )

    observation = observe(book_shop)
    assert [raised(hours, "parity") for hours in range(24)] == [1, *[0] * 23]
    assert raised(10, "parity", "life_spent") == 1
    assert [raised(11, "life_spent"), raised(11, "parity", version=2)] == [0, 1]
    assert [raised(hours, "life_spent") for hours in (33.5, 34.5)] == [0, 1]


def test_one_window_of_three_is_not_enough_where_chance_can_do_it(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=0.2)
    asked = {check for alarm in judge.fn(observe(book_shop), 2, 0.01).alarms for check in alarm.checks}
    assert not {"purchases", "profit", "loss"} & asked


def test_windows_that_say_too_little_alone_find_a_steeper_answer_to_price_together() -> None:
    random = np.random.default_rng(2)
    count = 5_000
    quotes = pd.DataFrame(
        {
            "window": np.repeat(np.arange(5), count // 5), "user_id": random.integers(0, 900, count).astype(str),
            "product_id": "p", "price": random.uniform(6, 10, count), "list_price": 10.0, "uniform_price": 10.0,
            "lower": 6.0, "upper": 10.0, "unit_cost": 4.0, "quantity": 1.0, "randomised": random.random(count) < 0.1,
            "sensitivity": 6.0, "valuation": 0.7, "group": None,
        }
    )  # fmt: skip
    ratio = quotes["price"] / 10
    quotes["purchased"] = random.random(count) < 1 / (1 + np.exp(6.0 * (ratio - 0.7) + 4.0 * (ratio - 0.8)))
    ends = Windows(hours=24, count=5).ends(NOW)
    fresh = Freshness(0.0, 0.0, 0.0, 0.0, NOW)
    observation = Observation(1, "shop", 1, POLICY, "EUR", ends, quotes, {}, {}, fresh, 1.0)
    surveillance = judge.fn(observation, 2, 0.01)
    response = [one for window in surveillance.findings for one in window if one.check == "price_response"]
    assert [one.rows for one in response] == list(np.cumsum(quotes[quotes["randomised"]].groupby("window").size()))
    assert not response_finding(quotes[quotes["window"] == 4], 0.01).is_breached
    assert "price_response" in {check for alarm in surveillance.alarms for check in alarm.checks}


def test_a_quote_outside_its_interval_is_an_alarm_at_once(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=1.0)
    one = "(SELECT min(quote_id::text) FROM pricing.quotes WHERE source = 'personal')::uuid"
    book_shop.run(f"UPDATE pricing.quotes SET price = upper + 1 WHERE quote_id = {one}")
    alarms = judge.fn(observe(book_shop), 3, 0.01).alarms
    assert ("roll_back", ("guardrails",)) in [(alarm.action, alarm.checks) for alarm in alarms]


def test_a_quote_that_a_crash_lost_has_no_interval_to_keep_and_no_promise(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=1.0)
    before = found_of_quotes(book_shop)
    book_shop.run(
        "SELECT pricing.record_outcome(gen_random_uuid(), true, 1, user_id, product_id, 2 * list_price)"
        " FROM pricing.live_prices"
    )
    book_shop.run(f"UPDATE pricing.quotes SET quoted_at = '{WINDOWS.ends(NOW)[-1] - timedelta(minutes=20)}'")
    assert len(book_shop.rows("SELECT FROM pricing.quotes WHERE source = 'told'")) > 0
    assert found_of_quotes(book_shop) == before


def found_of_quotes(shop: Any) -> list[str]:
    """What was found of quotes in all windows, in words."""
    checks = ("guardrails", "exploration", "purchases", "profit", "loss", "calibration", "price_response")
    findings = [one for window in judge.fn(observe(shop), 1, 0.01).findings for one in window]
    return [f"{one.check}, {one.rows} rows: {one.excess}" for one in findings if one.check in checks]


def test_events_of_a_new_kind_shift_a_feature(book_shop: Any) -> None:
    book_shop.published()
    at = WINDOWS.ends(NOW)[-1] - timedelta(minutes=20)
    for number in range(60):
        book_shop.run(f"SELECT pricing.record_event('u{number:03}', 'teleport', occurred_at => '{at}')")
    surveillance = judge.fn(observe(book_shop), 1, 0.01)
    kind = next(finding for finding in surveillance.findings[-1] if finding.check == "feature kind")
    assert kind.is_breached
    assert kind.excess.startswith("other: ")


def found(observation: Observation, check: str) -> Finding:
    newest = judge.fn(observation, 1, 0.01).findings[-1]
    return next(finding for finding in newest if finding.check == check)


def test_a_context_of_another_kind_shifts_and_quotes_without_one_do_not(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=1.0)
    observation = observe(book_shop)
    assert not found(observation, "feature attr_age").is_breached
    assert np.isnan(found(observation, "feature context_device").value)  # a quote has no context
    at = WINDOWS.ends(NOW)[-1] - timedelta(minutes=20)
    book_shop.run(
        f"""
        INSERT INTO data.offers (dataset, offer_id, user_id, product_id, offered_at, price, purchased, attributes)
        SELECT 'shop', 'new ' || user_id, user_id, 'p01', '{at}', 9, false, '{{"context_device": "watch"}}'
        FROM data.users
        """
    )
    context = found(observe(book_shop), "feature context_device")
    assert context.is_breached
    assert context.excess.startswith(("other: 0", "watch: 0"))


def test_an_audience_of_other_users_shifts_their_attributes(book_shop: Any) -> None:
    book_shop.published()
    shown = "SELECT pricing.quote(user_id, 'p01') FROM data.users WHERE (attributes ->> 'attr_age')::float8 > 50"
    book_shop.run(shown)
    book_shop.run(f"UPDATE pricing.quotes SET quoted_at = '{NOW - timedelta(minutes=20)}'")
    age = found(observe(book_shop), "feature attr_age")
    assert age.is_breached
    assert 30 <= age.rows < 150


def test_a_source_that_brings_nothing_new_and_an_old_model_warn_and_a_history_does_not(book_shop: Any) -> None:
    book_shop.published()
    book_shop.run("UPDATE data.snapshots SET created_at = now()")
    calm = observe(book_shop)
    assert not found(calm, "data_days").is_breached
    assert not found(calm, "model_days").is_breached
    assert "newest of 2026-03" in found(calm, "data_days").excess
    book_shop.run("UPDATE data.snapshots SET created_at = now() - interval '29 days'")
    stale = {check for alarm in judge.fn(observe(book_shop), 3, 0.01).alarms for check in alarm.checks}
    assert {"data_days", "model_days"} <= stale
    book_shop.run(
        "INSERT INTO data.snapshots SELECT 'newer', dataset, currency, row_counts, as_of + interval '1 day', "
        "validation FROM data.snapshots"
    )
    later = judge.fn(observe(book_shop), 3, 0.01).findings[-1]
    assert {one.check for one in later if one.is_breached} & {"data_days", "model_days"} == {"model_days"}


def test_parity_is_told_without_a_bound_and_breaches_one_alone(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=1.0)
    book_shop.run(
        "UPDATE pricing.quotes SET price = lower FROM data.users "
        "WHERE users.user_id = quotes.user_id AND protected_group = 'a' AND source = 'personal'"
    )
    observation = observe(book_shop)
    told = found(observation, "parity")
    assert told.value > 0.01
    assert "between the mean prices of groups" in told.excess
    assert not told.is_breached
    bounded = POLICY.model_copy(update={"fairness": Fairness(parity_bound=0.005)})
    assert found(replace(observation, policy=bounded), "parity").is_breached


def test_of_many_quotes_whole_users_are_read(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=1.0)
    everyone = observe(book_shop)
    monkeypatch.setattr("tasks.monitoring.observe.MOST_QUOTES", len(everyone.quotes) // 3)
    some = observe(book_shop)
    assert some.sampled_users < 0.5
    assert 0 < len(some.quotes) < len(everyone.quotes)
    counts = everyone.quotes["user_id"].value_counts()
    pd.testing.assert_series_equal(
        some.quotes["user_id"].value_counts().sort_index(), counts[some.quotes["user_id"].unique()].sort_index()
    )


def test_a_busy_window_leaves_the_others_their_rows(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    book_shop.published()
    ends = WINDOWS.ends(NOW)
    for end, each in zip(ends, (1, 1, 20), strict=True):
        book_shop.run(
            f"""
            INSERT INTO data.behaviour (dataset, event_id, user_id, occurred_at, kind)
            SELECT 'shop', concat_ws(' ', '{end}', user_id, number), user_id,
                   '{end}'::timestamptz - interval '1 minute', 'view'
            FROM data.users CROSS JOIN generate_series(1, {each}) AS number WHERE dataset = 'shop'
            """
        )
    monkeypatch.setattr("tasks.monitoring.observe.MOST_ROWS", 150)
    counts = observe(book_shop).current["behaviour"]["window"].value_counts()
    assert (counts[0], counts[1]) == (150, 150)
    assert 20 <= counts[2] <= 400  # whole users: the draw is not exact
    assert counts[2] % 20 == 0


def test_the_reference_is_drawn_from_its_whole_span(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    early = "occurred_at < (SELECT max(occurred_at) FROM data.behaviour) - interval '14 days'"
    book_shop.run(f"UPDATE data.behaviour SET kind = 'early' WHERE {early}")
    book_shop.published()
    monkeypatch.setattr("tasks.monitoring.observe.MOST_ROWS", 500)
    kinds = observe(book_shop).reference["behaviour"]["kind"]
    assert len(kinds) < 1_000
    assert 0.35 < (kinds == "early").mean() < 0.65


def test_the_page_says_what_was_found(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=0.2)
    observation = observe(book_shop)
    surveillance = judge.fn(observation, 1, 0.01)
    page = monitor_page(surveillance, observation).replace(GAP, "")
    assert f"In MLflow: {version_link(1)}." in page
    assert "- **retrain**: purchases, profit" in page
    assert re.search(r"\| purchases \| retrain \| -\d.* rows \| [1-9]\d\d% \| ——✗ \|", page)
    assert re.search(r"\| guardrails \| roll back \| 0 quotes outside their interval, [\d,]+ rows \| *\|", page)
    assert "——✗ |" in page
    assert "by tenth of the promise" in page
    assert f"| {observation.ends[-1]:%Y-%m-%d %H:%M} | {len(observation.quotes):,} | 0 |" in page


def test_the_flow_leaves_its_page_and_plot_with_the_run(book_shop: Any) -> None:
    book_shop.published()
    quote_everyone(book_shop, share_bought=0.2)
    with prefect_test_harness(server_startup_timeout=120):
        surveillance = monitor(MonitorParameters(window_hours=1, windows=3, at_least=1))
        with get_client(sync_client=True) as client:
            artifacts = client.read_artifacts()
    # Whatever the clock says by now, one of the three windows holds the quotes.
    assert any(finding.is_breached for window in surveillance.findings for finding in window)
    assert {artifact.key for artifact in artifacts} == {"monitor", "monitor-promises", "monitor-trends"}


def test_more_windows_in_breach_than_there_are_is_refused() -> None:
    with pytest.raises(ValidationError, match="only 2 windows"):
        MonitorParameters(windows=2, at_least=3)
