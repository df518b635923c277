"""What a training continues where it is told nothing else: the source and the policy of what is live."""

import logging

from prefect import task

from models.pricing.policy import PricingPolicy
from tasks.registry.policies import read_policy
from tasks.registry.versions import champion
from tasks.retries import RETRIED
from tasks.sources import SourceError, SourceParameters

log = logging.getLogger("pricing.train")

FIRST_SOURCE, FIRST_POLICY = SourceParameters(kind="tafeng"), "ecommerce"  # before anything is live


@task(**RETRIED)
def choose_source(asked: SourceParameters) -> SourceParameters:
    """Where to collect from; `live` is where the champion learnt from.

    Raises:
        SourceError: the champion does not say where.
    """
    if asked.kind != "live":
        return asked
    if (live := champion()) is None:
        return FIRST_SOURCE
    if (kept := live.parameters().get("source")) is None:
        raise SourceError(
            f"version {live.version}, which is live, was registered before sources were kept with versions: name "
            "the source of its data"
        )
    log.info("learning from where version %d did: %s", live.version, kept)
    return SourceParameters.model_validate_json(kept)


@task(**RETRIED)
def choose_policy(asked: str | None) -> PricingPolicy:
    """The policy that prices will be set by; not named, it is the champion's own.

    Raises:
        PolicyError: there is no such policy, or it cannot be understood.
    """
    if asked:
        return read_policy(asked)
    live = champion()
    return read_policy(FIRST_POLICY) if live is None else live.policy()
