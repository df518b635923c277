from models.demand.demand_curve import DemandCurve
from models.features.decisions import Decisions
from models.pricing.policy import PricingPolicy
from models.simulation.marketplace import MarketplaceConfig, simulate
from models.simulation.season import Season
from models.simulation.season_comparison import ORACLE, compare_controls


def test_a_model_that_re_solves_beats_one_that_does_not_and_loses_to_the_oracle() -> None:
    market = simulate(MarketplaceConfig("hotel", users=300, products=8, offers=2_400))

    def near_truth(decisions: Decisions) -> DemandCurve:
        curves = market.curves.reindex(decisions.frame["decision_id"])
        sensitivity = (curves["sensitivity"] * (1 - 0.65 * curves["business"])).to_numpy("float64")
        return DemandCurve(sensitivity, 1 + curves["level"].to_numpy("float64") / sensitivity)

    week = Season.of(market)
    pricer = week.pricer(near_truth, near_truth, PricingPolicy(), "EUR")
    table = compare_controls(week, pricer, range(2), step_hours=24)
    profit = table.groupby("variant")["profit"].mean()
    ignoring = profit[["model, solved once", "model, stock ignored", "list price"]].max()
    assert ignoring < profit["model, re-solved"] < profit[ORACLE] < week.bound
    assert not table.loc[table["variant"] == ORACLE, "regret"].any()
    assert (table["regret_of_bound"] > 0).all()
