"""The ways to sell one season side by side: bid prices that follow the pick-up, against pricing that ignores stock."""

from collections.abc import Iterator

import pandas as pd

from models.simulation.season import Season, StockControl, run_season
from models.simulation.season_pricing import LIST_PRICE, ModelPricer, StockPricer

ORACLE = "oracle, re-solved"
_FIGURES = ("profit", "surplus", "sold", "refused", "mean_price_ratio")


def compare_controls(season: Season, pricer: ModelPricer, seeds: range, step_hours: float = 6.0) -> pd.DataFrame:
    """Sell a season in every way and with every seed; one row each.

    Columns: variant, seed, profit, surplus, sold, refused, mean_price_ratio, regret (1 - profit / profit of the
    oracle that re-solves, same seed) and regret_of_bound (1 - profit / the fluid bound).
    """
    table = pd.DataFrame(list(_results(season, pricer, seeds, step_hours)))
    best = table[table["variant"] == ORACLE].set_index("seed")["profit"]
    table["regret"] = 1 - table["profit"] / table["seed"].map(best)
    table["regret_of_bound"] = 1 - table["profit"] / season.bound
    return table


def _results(season: Season, pricer: ModelPricer, seeds: range, step_hours: float) -> Iterator[dict[str, float | str]]:
    at_list = ModelPricer(pricer.given, LIST_PRICE, pricer.currency)
    variants: dict[str, tuple[StockPricer, StockControl]] = {
        ORACLE: (season.oracle, "re-solved"),
        "model, re-solved": (pricer, "re-solved"),
        "model, solved once": (pricer, "solved once"),
        "model, stock ignored": (pricer, "ignored"),
        "list price": (at_list, "ignored"),
    }
    for seed in seeds:
        for variant, (seller, control) in variants.items():
            sale = run_season(season, seller, control, seed, step_hours)
            figures = {name: getattr(sale, name) for name in _FIGURES}
            yield {"variant": variant, "seed": seed, **figures}
