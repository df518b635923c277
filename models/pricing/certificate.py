"""The certificate of a price book: how each constraint stands and how far its prices are from the best."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MAXIMUM_DUALITY_GAP = 1e-4


@dataclass(frozen=True)
class ConstraintState:
    """One constraint as the prices shown meet it.

    ``slack`` is in the constraint's own unit and negative where it is violated; ``shadow_price`` is what
    one more unit of the limit is worth, 0 where it does not bind. ``runs_out`` says of stock that no price inside the
    guardrails makes it last to its end, so that prices are the highest.
    """

    name: str
    pool_id: str | None
    limit: float
    achieved: float
    slack: float
    shadow_price: float
    runs_out: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the limit is kept, as well as prices can."""
        return self.slack >= 0 or self.runs_out


@dataclass(frozen=True)
class Certificate:
    """What a price book can be held to.

    ``duality_gap`` bounds the share of the objective that better prices could add under the same
    constraints, before exploration. ``rounding_bound`` is the share that whole ticks of price alone may leave
    over: no limit can be used up more closely than its rows' prices can move. ``binding_rules`` counts the
    rows each guardrail holds; ``refused`` the rows without a price, by reason.
    """

    constraints: tuple[ConstraintState, ...]
    objective: float
    duality_gap: float
    iterations: int
    binding_rules: dict[str, int]
    refused: dict[str, int]
    rounding_bound: float = 0.0

    @classmethod
    def joined(cls, certificates: Sequence["Certificate"]) -> "Certificate":
        """Return the certificate of parts that no limit ties together: each is the best of its own."""
        return cls(
            constraints=(),
            objective=sum(part.objective for part in certificates),
            duality_gap=max(part.duality_gap for part in certificates),
            iterations=sum(part.iterations for part in certificates),
            binding_rules=_summed(part.binding_rules for part in certificates),
            refused=_summed(part.refused for part in certificates),
        )

    @property
    def violated(self) -> tuple[ConstraintState, ...]:
        """The constraints that the prices do not meet."""
        return tuple(state for state in self.constraints if not state.is_met)

    @property
    def is_certified(self) -> bool:
        """Whether every constraint is met and the gap is at most the tolerance."""
        return not self.violated and self.duality_gap <= self.gap_tolerance

    @property
    def gap_tolerance(self) -> float:
        """MAXIMUM_DUALITY_GAP, or what rounding to the ticks of the prices may cost where that is more."""
        return max(MAXIMUM_DUALITY_GAP, self.rounding_bound)

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON holds it, to be stored with the book."""
        return asdict(self) | {"gap_tolerance": self.gap_tolerance, "is_certified": self.is_certified}


def _summed(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for part in parts:
        total.update(part)
    return dict(total)
