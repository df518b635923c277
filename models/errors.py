"""The root of every error this platform raises on purpose."""


class PricingError(Exception):
    """Something a person can mend: the message names the thing, the value and the way out."""
