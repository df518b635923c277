"""The simulate flow: two policies compared on simulated marketplaces before either goes live."""

from dataclasses import replace

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from models.form import as_form
from models.simulation.domains import Domain
from models.simulation.marketplace import MarketplaceConfig
from tasks.registry.policies import PRESET_NAMES, PRESET_OR_PATH
from tasks.simulate import LIST_PRICE_NAME, Simulation, learn, report_simulation, sell_season, try_policy

LONGEST_SECONDS = 6 * 3600


class SimulateParameters(BaseModel):
    """Which policies to compare, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=as_form)

    domain: Domain = Field("ecommerce", title="Domain", description="Whose truth the marketplace follows.")
    policy: str | None = Field(
        None,
        title="Policy",
        description=f"A preset ({PRESET_NAMES}) or the path of a TOML file; empty: the domain's own preset.",
        json_schema_extra={"pattern": PRESET_OR_PATH},
    )
    against: str = Field(
        LIST_PRICE_NAME,
        title="Against",
        description="The policy to compare with, named likewise; 'list price' charges everyone the list price.",
        json_schema_extra={"pattern": rf"^{LIST_PRICE_NAME}$|{PRESET_OR_PATH}"},
    )
    users: int = Field(
        2_000, ge=100, le=1_000_000, title="Users", description="Each asks for four prices after the log's end."
    )
    products: int = Field(
        60, ge=4, le=10_000, title="Products", description="How many each marketplace has to choose from."
    )
    offers: int = Field(
        20_000,
        ge=1_000,
        le=100_000_000,
        title="Offers",
        description="Logged offers that the demand model learns from.",
    )
    seed: int = Field(0, ge=0, lt=2**31, title="Seed", description="Of the first marketplace.")
    seeds: int = Field(1, ge=1, le=20, title="Marketplaces", description="How many, of consecutive seeds; all count.")

    def marketplaces(self) -> list[MarketplaceConfig]:
        """One configuration a seed."""
        first = MarketplaceConfig(self.domain, self.users, self.products, self.offers)
        return [replace(first, seed=self.seed + number) for number in range(self.seeds)]


@flow(name="simulate", timeout_seconds=LONGEST_SECONDS)
def simulate(parameters: SimulateParameters) -> Simulation:
    """Learn each marketplace's demand, price its requests under both policies, and judge the prices by its truth."""
    trials = [learn(config) for config in parameters.marketplaces()]
    policy = parameters.policy or parameters.domain
    first, second = try_policy(trials, policy), try_policy(trials, parameters.against)
    return report_simulation(first, second, sell_season(trials, policy), parameters.domain)
