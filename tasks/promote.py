"""Promote: decide whether a challenger may price, and under which policy."""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from prefect import task

from models.disclosure import disclosure
from models.errors import PricingError
from models.fitted import FittedDemand
from models.gates import Gate, quality_gates
from models.policy import PricingPolicy
from models.presets import tightened_for_cold_start
from tasks.database import database_url
from tasks.policies import read_policy
from tasks.registry import MODEL_NAME, RegisteredDemand, tag_version, version_of
from tasks.settings import Settings
from tasks.snapshots import Snapshot, latest_snapshot

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
        }


@task
def promote(version: str, policy: str | None) -> Promotion:
    """Put a version (number or alias) to its gates; the policy is the named one or else the version's own.

    While no randomised offer has been logged, the policy is tightened for a cold start.

    Raises:
        GateError: a gate was not passed; the message tells each figure.
        VersionNotFoundError: the registry has no such version.
    """
    registered = version_of(version)
    snapshot = latest_snapshot(database_url(Settings()), registered.dataset)
    metrics = registered.metrics()
    gates = tuple(quality_gates(metrics))
    _tag(registered, gates)
    failed = [str(gate) for gate in gates if not gate.passed]
    if failed:
        raise GateError(f"version {registered.version} is not promoted; failed {'; '.join(failed)}")
    chosen = registered.policy() if policy is None else read_policy(policy)
    cold_start = not metrics.get("randomised_offers", 0)
    if cold_start:
        chosen = tightened_for_cold_start(chosen)
        log.info("no randomised offers yet: a cold start, so guardrails are tightened and exploration is on")
    log.info("version %d passed %d gates", registered.version, len(gates))
    return Promotion(registered, snapshot, chosen, cold_start, gates)


def _tag(registered: RegisteredDemand, gates: tuple[Gate, ...]) -> None:
    passed = all(gate.passed for gate in gates)
    tag_version(
        registered.version,
        {"gates": "passed" if passed else "failed", "gate_figures": json.dumps([asdict(gate) for gate in gates])},
    )
