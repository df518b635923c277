"""Demand models and policies as files: safetensors and JSON, nothing pickled."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from models.demand.fitted import FittedDemand
from models.pricing.policy import PricingPolicy


def save_demand(fitted: FittedDemand, folder: Path) -> None:
    """Write a fitted demand model into an existing folder."""
    weights, description = fitted.state()
    save_file(weights, folder / "weights.safetensors")
    (folder / "demand.json").write_text(json.dumps(description), encoding="utf-8")


def load_demand(folder: Path) -> FittedDemand:
    """The demand model that `save_demand` wrote, on the CPU."""
    description = json.loads((folder / "demand.json").read_text(encoding="utf-8"))
    return FittedDemand.from_state(load_file(folder / "weights.safetensors"), description)


def save_policy(policy: PricingPolicy, folder: Path) -> None:
    """Write a policy into an existing folder."""
    (folder / "policy.json").write_text(policy.model_dump_json(indent=2), encoding="utf-8")


def load_policy(folder: Path) -> PricingPolicy:
    """The policy that `save_policy` wrote."""
    text = (folder / "policy.json").read_text(encoding="utf-8")
    return PricingPolicy.from_mapping(json.loads(text), origin=str(folder / "policy.json"))
