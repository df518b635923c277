"""Ready policies by domain, and the tighter rules under which a first price book may be published."""

from typing import Any

from models.pricing.policy import Exploration, Guardrails, PricingPolicy

PRESETS: dict[str, PricingPolicy] = {
    # No limit but the tables' own floor and ceiling: what a policy file starts from.
    "open": PricingPolicy(),
    # Shops: personal prices are discounts only, never above the list price nor above what a stranger pays.
    "ecommerce": PricingPolicy(
        satisfaction_weight=0.2,
        guardrails=Guardrails(
            minimum_margin=0.05,
            maximum_markup=0.0,
            maximum_discount=0.3,
            maximum_step=0.15,
            above_uniform=False,
        ),
        exploration=Exploration(share=0.05, dither=0.01),
    ),
    # Rooms: scarce nights may rise well above the list (rack) rate, in whole units of the currency.
    "hotel": PricingPolicy(
        satisfaction_weight=0.1,
        guardrails=Guardrails(
            minimum_margin=0.1, maximum_markup=0.6, maximum_discount=0.4, maximum_step=0.25, price_ending=0
        ),
        exploration=Exploration(share=0.05, dither=0.01),
    ),
    # Loans: price, list price and cost are rates in percent. The rate cap is never above the advertised
    # (list) rate; a statutory cap belongs in the table's ceiling, which every rule yields to.
    "finance": PricingPolicy(
        satisfaction_weight=0.1,
        guardrails=Guardrails(
            minimum_margin=0.02,
            maximum_markup=0.0,
            maximum_discount=0.25,
            maximum_step=0.05,
            currency_digits=2,
        ),
        exploration=Exploration(share=0.02),
    ),
    # Cars: one long negotiation from the sticker price down; small discounts on large sums, prices ending
    # in 90.
    "automobile": PricingPolicy(
        satisfaction_weight=0.1,
        guardrails=Guardrails(
            minimum_margin=0.02, maximum_markup=0.0, maximum_discount=0.12, maximum_step=0.05, price_ending=90
        ),
        exploration=Exploration(share=0.03),
    ),
    # Roads: the toll steers traffic, so the traveller's surplus counts, and peak tolls rise in bounded steps.
    "road_tolls": PricingPolicy(
        satisfaction_weight=0.5,
        guardrails=Guardrails(maximum_markup=1.0, maximum_discount=0.8, maximum_step=0.5, price_ending=0.05),
        exploration=Exploration(share=0.02),
    ),
    # Health: personal prices only ever lower what a patient pays, and nothing is drawn at random.
    "health_services": PricingPolicy(
        satisfaction_weight=0.8,
        guardrails=Guardrails(
            minimum_margin=0.0,
            maximum_markup=0.0,
            maximum_discount=0.5,
            maximum_step=0.1,
            above_uniform=False,
        ),
        exploration=Exploration(share=0.0),
    ),
}

COLD_START_LIMITS = {"maximum_markup": 0.05, "maximum_discount": 0.15, "maximum_step": 0.05}
COLD_START_SHARE = 0.1
WIDENING = 0.05  # of the list price, beyond the prices tried so far
UNTRIED = (1.0, 1.0)


def tightened_for_cold_start(policy: PricingPolicy, tried: tuple[float, float] = UNTRIED) -> PricingPolicy:
    """Return the policy under which to publish while no evidence tells what its prices earn.

    Prices move less: each limit of COLD_START_LIMITS holds where the policy's own is wider. `tried` are the lowest and
    the highest price / list price that were drawn since the start; the limits follow them, WIDENING beyond. At least
    COLD_START_SHARE of the prices are explored, so that the next model can be checked, but none under a policy whose
    share is 0: whether anybody's price may be drawn at random is for the policy to say, and such a start lasts until
    prices drawn elsewhere are evidence. Where the policy's own limits are reached on both sides the start is over and
    the policy is returned as it is.

    Raises PolicyError where the policy leaves no room to explore.
    """
    lowest, highest = tried
    limits = dict(COLD_START_LIMITS)
    if highest > 1:
        limits["maximum_markup"] = max(limits["maximum_markup"], round(highest - 1 + WIDENING, 3))
    if lowest < 1:
        limits["maximum_discount"] = max(limits["maximum_discount"], round(min(1 - lowest + WIDENING, 0.95), 3))
    values: dict[str, Any] = policy.model_dump()
    rails = values["guardrails"]
    is_reached = [
        rails[rule] is not None and rails[rule] <= limits[rule] for rule in ("maximum_markup", "maximum_discount")
    ]
    if tried != UNTRIED and all(is_reached):
        return policy
    for rule, limit in limits.items():
        rails[rule] = limit if rails[rule] is None else min(rails[rule], limit)
    if policy.exploration.share != 0:
        values["exploration"]["share"] = max(policy.exploration.drawn_share, COLD_START_SHARE)
    return PricingPolicy.from_mapping(values, "the policy tightened for a cold start")
