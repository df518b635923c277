"""The policy a run names: a preset, or a TOML file."""

from pathlib import Path

from models.pricing.policy import PolicyError, PricingPolicy
from models.pricing.presets import PRESETS

PRESET_NAMES = ", ".join(PRESETS)
# What the schema of a form takes: a path has a suffix or a folder, so that Prefect's server refuses a misspelt preset
# before a run is made.
PRESET_OR_PATH = rf"^({'|'.join(PRESETS)})$|[./\\]"


def read_policy(name_or_path: str) -> PricingPolicy:
    """The preset of this name, or the policy in the TOML file at this path.

    Raises:
        PolicyError: neither exists, or the file is not a valid policy.
    """
    if name_or_path in PRESETS:
        return PRESETS[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise PolicyError(f"policy {name_or_path!r} is neither a preset ({PRESET_NAMES}) nor a file")
    return PricingPolicy.from_toml(path.read_text(encoding="utf-8"), origin=str(path))
