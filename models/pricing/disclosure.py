"""What a user is told about a personal price, by jurisdiction.

Engineering support, not legal advice: a lawyer of the place decides what must be shown there and how.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

NO_RULE = "No specific rule on disclosing personalised prices is recorded for {place}."


@dataclass(frozen=True)
class DisclosureRule:
    """The text a place asks for beside a personal price, its source and the seller's other duties."""

    text: str
    source: str
    duties: str = ""


JURISDICTIONS: dict[str, DisclosureRule] = {
    "US-NY": DisclosureRule(
        text="THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA",
        source="New York General Business Law § 349-a (Algorithmic Pricing Disclosure Act, 2025)",
        duties="Clear and conspicuous, at the price, in these words.",
    ),
    "EU": DisclosureRule(
        text="This price was personalised on the basis of automated decision-making.",
        source="Directive 2011/83/EU art. 6(1)(ea), inserted by Directive (EU) 2019/2161",
        duties="Shown before the consumer is bound by the contract.",
    ),
    "CN": DisclosureRule(
        text="This price was set by automated decision-making using your personal information. "
        "You may choose a price that is not based on your personal characteristics.",
        source="Personal Information Protection Law of the PRC, art. 24",
        duties="No unreasonable differential treatment in price; a non-personal option must be offered.",
    ),
}

EU_MEMBERS = {
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT",
    "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
}  # fmt: skip


def is_jurisdiction(code: str) -> bool:
    """Tell whether this has the form of an ISO 3166 country or subdivision code, or is EU."""
    return re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", code) is not None


def disclosure_rule(jurisdiction: str) -> DisclosureRule | None:
    """Return the rule of this place, of its country or of the Union it belongs to, or None."""
    country = jurisdiction.partition("-")[0]
    union = "EU" if country in EU_MEMBERS else country
    return JURISDICTIONS.get(jurisdiction) or JURISDICTIONS.get(country) or JURISDICTIONS.get(union)


def disclosure(jurisdictions: Iterable[str]) -> str:
    """Return the text to store with a personal price shown in these places: each rule once, in their order.

    A place without a rule says so. No jurisdiction gives an empty text.
    """
    texts = []
    for place in jurisdictions:
        rule = disclosure_rule(place)
        texts.append(rule.text if rule else NO_RULE.format(place=place))
    return "\n".join(dict.fromkeys(texts))
