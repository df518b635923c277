"""The train flow: from raw data to a registered challenger."""

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from models.form import as_form
from tasks.books.publish import repair_champion
from tasks.data.collect import collect
from tasks.data.validate import validate
from tasks.registry.pages import report_version
from tasks.registry.policies import PRESET_NAMES, PRESET_OR_PATH
from tasks.registry.register import find_registered, register
from tasks.registry.versions import RegisteredDemand
from tasks.runners import Runner, for_each_block
from tasks.sources import SourceParameters
from tasks.training.continuation import choose_policy, choose_source
from tasks.training.evaluate import evaluate
from tasks.training.extract import cut_offers, extract, extract_block
from tasks.training.fit import Recipe, fit

LONGEST_SECONDS = 24 * 3600  # a run that hangs must not keep every later one waiting


class TrainParameters(BaseModel):
    """What to learn from, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    source: SourceParameters = Field(SourceParameters(), title="Source", description="Where the tables come from.")
    policy: str | None = Field(
        None,
        title="Policy",
        description=f"A preset ({PRESET_NAMES}) or the path of a TOML file, registered with the model; empty: the live "
        "version's own, and before there is one, ecommerce.",
        json_schema_extra={"pattern": PRESET_OR_PATH},
    )
    recipe: Recipe = Field(Recipe(), title="Recipe", description="How the demand model is made.")
    runner: Runner = Field(
        "local",
        title="Runner",
        description="Where features are extracted: local, in this process; distributed, by the workers of a Dask"
        " cluster (PRICING_DASK_SCHEDULER), else by a process for each core. The features are the same.",
    )


@flow(name="train", timeout_seconds=LONGEST_SECONDS)
def train(parameters: TrainParameters) -> RegisteredDemand:
    """Collect, validate, extract, fit, evaluate and register; the same data and recipe are not fit twice."""
    repair_champion()
    source, policy = choose_source(parameters.source), choose_policy(parameters.policy)
    snapshot = validate(collect(source))
    if known := find_registered(snapshot, parameters.recipe):
        report_version(known)
        return known
    blocks = for_each_block(parameters.runner, extract_block, cut_offers(snapshot), snapshot)
    features = extract(snapshot, blocks)
    trained = fit(features, parameters.recipe)
    evaluation = evaluate(trained, snapshot, policy)
    registered = register(trained, evaluation, snapshot, parameters.recipe, source, policy)
    report_version(registered)
    return registered
