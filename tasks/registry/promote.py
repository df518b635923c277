"""Promote: decide whether a challenger may price, and under which policy."""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from prefect import task

from models.demand.fitted import FittedDemand
from models.errors import PricingError
from models.evidence.gates import Gate, data_gate, is_cold_start, promotion_gates, range_to_widen, under_policy
from models.pricing.disclosure import disclosure
from models.pricing.policy import PricingPolicy
from models.pricing.presets import tightened_for_cold_start
from tasks.data.snapshots import Snapshot, latest_snapshot
from tasks.database import database_url
from tasks.markdown import markdown_table, show_page
from tasks.registry.pages import version_link
from tasks.registry.policies import read_policy
from tasks.registry.versions import (
    GATES_HEADING,
    MODEL_NAME,
    REMEASURED,
    RegisteredDemand,
    champion_of,
    describe_version,
    tag_version,
    version_of,
)
from tasks.retries import RETRIED
from tasks.settings import Settings
from tasks.training.evaluate import figures_under

log = logging.getLogger("pricing.promote")


class GateError(PricingError):
    """A challenger did not pass its gates; nothing was priced and the live book stays."""


@dataclass(frozen=True)
class Promotion:
    """A model version that may price a snapshot under a policy."""

    registered: RegisteredDemand
    snapshot: Snapshot
    policy: PricingPolicy
    cold_start: bool
    gates: tuple[Gate, ...]

    @property
    def inputs_hash(self) -> str:
        """Equal for promotions that would give equal books."""
        inputs = [self.registered.version, self.snapshot.snapshot_id, self.policy.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()

    def demand(self) -> FittedDemand:
        """The promoted model."""
        return self.registered.demand()

    def book_description(self) -> dict[str, Any]:
        """What pricing.books keeps of where a book comes from."""
        return {
            "inputs_hash": self.inputs_hash,
            "dataset": self.snapshot.dataset,
            "snapshot_id": self.snapshot.snapshot_id,
            "model_name": MODEL_NAME,
            "model_version": self.registered.version,
            "run_id": self.registered.run_id,
            "policy": self.policy.model_dump(mode="json"),
            "currency": self.snapshot.currency,
            "disclosure": disclosure(self.policy.disclosure.jurisdictions),
            "cold_start": self.cold_start,
        }


@task(**RETRIED)
def promote(version: str, policy: str | None) -> Promotion:
    """Put a version (number or alias) to its gates; the policy is the named one or else the version's own.

    Prices are judged under the policy named and against the champion of now: where the version was evaluated under
    another, or against another, they are measured anew. In a cold start they are published under that policy tightened.

    Raises:
        GateError: a gate was not passed; the message tells each figure.
        VersionNotFoundError: the registry has no such version.
    """
    registered = version_of(version)
    snapshot = latest_snapshot(database_url(Settings()), registered.dataset)
    metrics, own = registered.metrics(), registered.policy()
    if remeasured := registered.remeasured():
        metrics = under_policy(metrics, remeasured)
    rival, chosen = _rival(registered, metrics), own if policy is None else read_policy(policy)
    if chosen != own or metrics.get("off_policy_against") != rival:
        figures = figures_under(chosen, registered, rival, snapshot)
        metrics = under_policy(metrics, figures)
        if chosen == own:  # once it is champion it is held to these
            tag_version(registered.version, {REMEASURED: json.dumps(figures)})
    gates = (data_gate(snapshot.validation.get("tables", {})), *promotion_gates(metrics, rival))
    _publish_gates(registered, gates, "the version's own" if chosen == own else str(policy))
    failed = [str(gate) for gate in gates if not gate.passed]
    if failed:
        raise GateError(f"version {registered.version} is not promoted; failed {'; '.join(failed)}")
    whole = chosen
    if is_cold_start(metrics):
        chosen = tightened_for_cold_start(whole, range_to_widen(metrics))
    cold_start = chosen != whole
    if cold_start:
        log.info("no evidence yet of what its prices earn: a cold start, %s", _terms(chosen))
    log.info("version %d passed %d gates", registered.version, len(gates))
    return Promotion(registered, snapshot, chosen, cold_start, gates)


def _terms(policy: PricingPolicy) -> str:
    rails, share = policy.guardrails, policy.exploration.drawn_share
    drawn = f"{share:.1%} of them drawn at random" if share else "none drawn at random, as exploration.share = 0 says"
    return f"prices from {rails.maximum_discount:.1%} below list to {rails.maximum_markup:.1%} above, {drawn}"


def _rival(registered: RegisteredDemand, metrics: dict[str, float]) -> int:
    """The version that the challenger must have been compared with, 0 for none.

    The champion itself is held to what it was compared with when it was promoted.
    """
    champion = champion_of(registered.dataset)
    if champion is None:
        return 0
    if champion.version == registered.version:
        return int(metrics.get("off_policy_against", 0))
    return champion.version


def _publish_gates(registered: RegisteredDemand, gates: tuple[Gate, ...], policy: str) -> None:
    """Write the gates where a reviewer reads them: as tags of the version, after its card, and on a page of the run."""
    passed = all(gate.passed for gate in gates)
    figures = json.dumps([asdict(gate) for gate in gates])
    tags = {"gates": "passed" if passed else "failed", "gate_figures": figures, "gates_policy": policy}
    tag_version(registered.version, tags)
    figured = f"Policy: {policy}.\n\n{gates_table(gates)}"
    describe_version(registered.version, GATES_HEADING, figured)
    verdict = "may set prices" if passed else "sets no prices: it failed its gates, and what is live stays"
    page = f"# Version {registered.version} {verdict}\n\nIn MLflow: {version_link(registered.version)}. {figured}"
    show_page(page, "gates", f"Gates of version {registered.version}")


def gates_table(gates: tuple[Gate, ...]) -> str:
    """Every gate with what was measured and demanded, as Markdown."""
    rows = ([gate.name, f"{gate.measured:.4g}", gate.demanded, "passed" if gate.passed else "FAILED"] for gate in gates)
    return markdown_table(["gate", "measured", "demanded", ""], rows, right=["measured"])
