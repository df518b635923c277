"""Monitor: judge what was observed, and raise an alarm where it persists."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
from prefect import task
from prefect.events import emit_event

import sql
from models.evidence.drift import (
    Action,
    Finding,
    calibration_finding,
    is_alarm,
    promise_findings,
    response_finding,
    rule_findings,
)
from tasks.database import database_url, transaction
from tasks.monitoring.observe import Observation
from tasks.monitoring.shares import share_findings
from tasks.monitoring.trends import quoted_parity
from tasks.settings import Settings

log = logging.getLogger("pricing.monitor")

QUEUE_LIMIT = 60.0  # seconds that a change may wait for its price
LIFE_LIMIT = 0.9  # of a book's life: what is left is the time to publish the next
MODEL_LIMIT = 28.0  # days since the live model learnt
DATA_LIMIT = 3.0  # days without newer data: they are collected nightly
# Checks that leave nothing to chance: one breach is enough.
AT_ONCE = ("guardrails", "queue_seconds", "life_spent", "model_days", "data_days")


@dataclass(frozen=True)
class Alarm:
    """What is to be done, because of which checks."""

    action: Action
    checks: tuple[str, ...]

    @property
    def event(self) -> str:
        """The name of its Prefect event, which automations wait for."""
        return f"pricing.monitor.{self.action}"


@dataclass(frozen=True)
class Surveillance:
    """The findings of each window, oldest first, and the alarms they amount to."""

    findings: list[list[Finding]]
    alarms: tuple[Alarm, ...]


@task
def judge(observation: Observation, at_least: int, false_alarm: float) -> Surveillance:
    """Check every window; an alarm needs the newest to breach, and `at_least` windows where chance can breach one.

    ``false_alarm`` is the chance of a breach, for each check and window, of a model that is just within tolerance.
    """
    findings = [list(_findings(observation, number, false_alarm)) for number in range(len(observation.ends))]
    findings[-1] += _state(observation)
    return Surveillance(findings, tuple(_alarms(findings, at_least)))


@task
def raise_alarms(surveillance: Surveillance, observation: Observation, window_hours: float) -> list[Alarm]:
    """Record each alarm and emit its event, once for a check and model version in the hours of a window.

    Returns those that are new, however often the same breach is looked at meanwhile.
    """
    new = []
    for alarm in surveillance.alarms:
        row = {
            "model_version": observation.model_version,
            "window_ended_at": observation.ends[-1],
            "action": alarm.action,
            "checks": list(alarm.checks),
            "book_id": observation.book_id,
        }
        told_since = observation.ends[-1] - timedelta(hours=window_hours)
        # Emitted before the commit: a crash between the two repeats an alarm, and never loses one.
        with transaction(database_url(Settings())) as connection, connection.cursor() as cursor:
            cursor.execute(sql.query("raise_alarm"), row | {"told_since": told_since})
            if cursor.fetchone() is None:
                continue
            emit_event(
                alarm.event,
                resource={
                    "prefect.resource.id": f"pricing.book.{observation.book_id}",
                    "prefect.resource.name": f"book {observation.book_id} of {observation.dataset}",
                },
                payload=row | {"window_ended_at": observation.ends[-1].isoformat()},
            )
        log.warning("%s: %s", alarm.event, ", ".join(alarm.checks))
        new.append(alarm)
    return new


def _findings(observation: Observation, number: int, false_alarm: float) -> Iterator[Finding]:
    policy = observation.policy
    quotes = observation.quotes[observation.quotes["window"] == number]
    answered = observation.answered
    yield from promise_findings(answered[answered["window"] == number], false_alarm)
    # Of random prices, or of a tenth of all, one window has too few: here all up to this one speak together.
    so_far = answered[answered["window"] <= number]
    yield response_finding(so_far, false_alarm)
    yield calibration_finding(so_far, false_alarm)
    yield from rule_findings(quotes, policy.exploration.drawn_share, false_alarm)
    yield _parity(quotes, policy.fairness.parity_bound)
    for table, reference in observation.reference.items():
        current = observation.current[table]
        current = current[current["window"] == number].reindex(columns=reference.columns)
        yield from share_findings(table, reference, current, list(reference.columns), false_alarm)


def _parity(quotes: pd.DataFrame, bound: float | None) -> Finding:
    """The gap between groups that is certain at 95 %, of the prices quoted; without a bound it breaches none."""
    parity = quoted_parity(quotes)
    limit = float("nan") if bound is None else bound
    if len(parity.groups) < 2:
        return Finding("parity", "warn", float("nan"), limit, len(quotes))
    certain = max(group.low for group in parity.groups) / min(group.high for group in parity.groups) - 1
    return Finding("parity", "warn", certain, limit, len(quotes), f"{parity.gap:.1%} between the mean prices of groups")


def _state(observation: Observation) -> list[Finding]:
    fresh = observation.freshness
    waited, spent, learnt, stale = fresh.queue_seconds, fresh.life_spent, fresh.model_days, fresh.data_days
    return [
        Finding("queue_seconds", "warn", waited, QUEUE_LIMIT, 1, f"{waited:.0f} s the longest wait for a new price"),
        Finding("life_spent", "warn", spent, LIFE_LIMIT, 1, f"{spent:.0%} of the book's life is over"),
        Finding("model_days", "warn", learnt, MODEL_LIMIT, 1, f"{learnt:.1f} days since the live model learnt"),
        Finding("data_days", "warn", stale, DATA_LIMIT, 1,
                f"{stale:.1f} days since a collection brought newer rows, the newest of {fresh.newest_row:%Y-%m-%d}"),
    ]  # fmt: skip


def _alarms(findings: list[list[Finding]], at_least: int) -> Iterator[Alarm]:
    by_check: dict[str, list[bool]] = {finding.check: [] for finding in findings[-1]}
    for window in findings:
        for finding in window:
            by_check[finding.check].append(finding.is_breached)
    action = {finding.check: finding.action for finding in findings[-1]}
    lasting = [name for name, seen in by_check.items() if is_alarm(seen, 1 if name in AT_ONCE else at_least)]
    for wanted in ("roll_back", "retrain", "warn"):
        if checks := tuple(name for name in lasting if action[name] == wanted):
            yield Alarm(wanted, checks)
