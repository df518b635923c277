"""The pricing policy: what prices are for and the rules they must keep, as one validated value."""

import tomllib
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import PricingError
from models.pricing.disclosure import JURISDICTIONS, is_jurisdiction
from models.pricing.price_grid import PriceGrid, PriceGridError, price_grid, usual_digits


class PolicyError(PricingError):
    """A policy that is unknown, contradictory or impossible; the message names the key."""


class PolicySection(BaseModel):
    """One table of the policy file; strict, so that neither `true` nor "0.1" passes for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Guardrails(PolicySection):
    """The rules every price keeps, beside the floor and ceiling of the tables; None means no limit."""

    minimum_margin: float | None = Field(
        default=None,
        gt=-1,
        title="Minimum margin",
        description="The price is at least unit cost × (1 + this); 0.1 keeps ten percent over cost.",
    )
    maximum_markup: float | None = Field(
        default=None,
        ge=0,
        title="Maximum markup",
        description="The price is at most list price × (1 + this); 0 is never above the list price.",
    )
    maximum_discount: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        title="Maximum discount",
        description="The price is at least list price × (1 − this).",
    )
    maximum_step: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        title="Maximum step",
        description="The price stays within the live price × (1 ± this); a first price has no live price.",
    )
    above_uniform: bool = Field(
        default=True,
        title="May exceed the uniform price",
        description="Off: nobody pays more than the price set without personal data.",
    )
    price_ending: float | None = Field(
        default=None,
        ge=0,
        title="Price ending",
        description="price mod m = this, m being the smallest power of ten above it: 0.99 allows 4.99, "
        "9 allows 29, 0 allows whole units.",
    )
    currency_digits: int | None = Field(
        default=None,
        ge=0,
        le=6,
        title="Currency digits",
        description="Digits after the decimal point; empty means the currency's own (2; 0 for TWD, JPY, …).",
    )

    @model_validator(mode="after")
    def _ending_has_the_digits(self) -> Self:
        if self.currency_digits is not None:
            price_grid(self.currency_digits, self.price_ending)
        return self

    def price_grid(self, currency: str) -> PriceGrid:
        """Return the admissible prices in this currency. Raises PolicyError for an ending it cannot have."""
        digits = usual_digits(currency) if self.currency_digits is None else self.currency_digits
        try:
            return price_grid(digits, self.price_ending)
        except PriceGridError as error:
            raise PolicyError(f"guardrails.price_ending in {currency}: {error}") from error


class Exploration(PolicySection):
    """How prices vary at random, so that the effect of price can be learnt; the default is not at all."""

    share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        title="Share of prices explored",
        description="Share of user × product prices drawn at random inside the guardrails; 0 is never, also in a cold "
        "start, and empty is none but what a cold start draws.",
    )
    dither: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        title="Dither",
        description="The other prices are drawn within ± this share of the list price around the best price.",
    )
    method: Literal["in_turn", "uniform"] = Field(
        default="in_turn",
        title="Method",
        description="Which prices are drawn, every admissible one of the interval being equally likely. in_turn: each "
        "of a user's prices at most once in 1 / share days; uniform: anew every day, whatever was drawn before.",
    )

    @property
    def drawn_share(self) -> float:
        """The share of the prices drawn, 0 where the policy does not say."""
        return self.share or 0.0

    @property
    def is_on(self) -> bool:
        """Whether any price is drawn at random."""
        return self.drawn_share > 0 or self.dither > 0


class Portfolio(PolicySection):
    """Limits on all decisions priced together, in expectation; None means no limit.

    In a book each price counts as one request, or, where its stock sells until a time, as the requests to come by then.
    """

    discount_budget: float | None = Field(
        default=None,
        ge=0,
        title="Discount budget",
        description="Most money given away below the list prices, in the currency of the run.",
    )
    minimum_volume: float | None = Field(
        default=None, gt=0, title="Minimum volume", description="Fewest units sold over all decisions."
    )
    minimum_revenue: float | None = Field(
        default=None, gt=0, title="Minimum revenue", description="Least money taken over all decisions."
    )


class Fairness(PolicySection):
    """How equal prices are between groups of users, measured and bounded but never a feature."""

    parity_bound: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        title="Parity bound",
        description="No group's mean price, relative to the uniform price, exceeds another's by more than "
        "this share; empty measures only.",
    )
    group: str = Field(
        default="protected_group",
        pattern="^(protected_group|attr_.+)$",
        title="Group",
        description="The users' column that says which group a user belongs to.",
    )


class Disclosure(PolicySection):
    """What users are told about personal prices, by the law of the places they live in."""

    jurisdictions: tuple[str, ...] = Field(
        default=(),
        strict=False,
        title="Jurisdictions",
        description=f"Where prices are shown: ISO 3166 codes or EU. Rules: {', '.join(JURISDICTIONS)}.",
    )

    @model_validator(mode="after")
    def _codes_are_codes(self) -> Self:
        for code in self.jurisdictions:
            if not is_jurisdiction(code):
                raise ValueError(
                    f"disclosure.jurisdictions has {code!r}: give ISO 3166 codes such as US-NY or FR, or EU"
                )
        return self


class PricingPolicy(BaseModel):
    """What prices are for (profit, and how much user satisfaction counts beside it) and the rules they keep.

    The default is the preset ``open``: maximal profit, limited by the tables' own floor and ceiling alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    satisfaction_weight: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        strict=True,
        title="Satisfaction weight",
        description="Weight θ of consumer surplus beside profit: 0 is profit alone; near 1 it nears cost.",
    )
    guardrails: Guardrails = Field(default=Guardrails(), title="Guardrails", description="The rules every price keeps.")
    exploration: Exploration = Field(
        default=Exploration(), title="Exploration", description="How prices vary at random, to learn from."
    )

    portfolio: Portfolio = Field(default=Portfolio(), description="Limits on all decisions priced together.")
    fairness: Fairness = Field(default=Fairness(), description="How equal prices are between groups.")
    disclosure: Disclosure = Field(default=Disclosure(), description="What users are told about personal prices.")

    @property
    def of_uniform_prices(self) -> Self:
        """The policy of a product's uniform price: held to itself it is not above uniform, and should not say so."""
        return self.model_copy(update={"guardrails": self.guardrails.model_copy(update={"above_uniform": True})})

    @property
    def binds_whole_book(self) -> bool:
        """Whether some limit can only be kept by pricing all decisions together."""
        return self.portfolio != Portfolio() or self.fairness.parity_bound is not None

    @model_validator(mode="after")
    def _exploration_has_room(self) -> Self:
        rails = self.guardrails
        if not self.exploration.is_on:
            return self
        if rails.maximum_step == 0:
            raise ValueError(
                "exploration needs prices that may move, but guardrails.maximum_step is 0: "
                "raise it, or set exploration.share and exploration.dither to 0"
            )
        if rails.maximum_discount == 0 and rails.maximum_markup == 0:
            raise ValueError(
                "exploration needs prices that may move, but guardrails.maximum_discount and "
                "guardrails.maximum_markup are both 0: raise one, or set exploration.share and "
                "exploration.dither to 0"
            )
        return self

    @classmethod
    def from_toml(cls, text: str, origin: str) -> Self:
        """Return the policy this TOML text states; what it leaves out is not limited.

        ``origin`` (a path, say) opens each error message. Raises PolicyError for text that is not TOML and
        for unknown keys, impossible values and contradictions, all of them named.
        """
        try:
            return cls.from_mapping(tomllib.loads(text), origin)
        except tomllib.TOMLDecodeError as error:
            raise PolicyError(f"{origin} is not TOML: {error}") from error

    @classmethod
    def from_mapping(cls, values: dict[str, Any], origin: str) -> Self:
        """Return the policy these nested keys state, with the errors of `from_toml`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise PolicyError(f"{origin}: " + "; ".join(_problems(error))) from error


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            yield f"unknown key {key}: {_known_keys(problem['loc'][:-1])}"
        elif problem["type"] == "value_error":
            yield problem["msg"].removeprefix("Value error, ")
        else:
            yield f"{key} is {problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _known_keys(path: tuple[int | str, ...]) -> str:
    if not path:
        return f"a policy has {', '.join(PricingPolicy.model_fields)}"
    section = getattr(PricingPolicy(), str(path[0]))
    return f"[{path[0]}] has {', '.join(type(section).model_fields)}"
