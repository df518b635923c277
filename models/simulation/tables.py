"""A simulation's draws as the contract's tables, and as the decisions a model reads."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.features.decisions import EVENT_COLUMNS, Decisions
from models.features.history import history_features
from models.simulation.catalogue import Catalogue
from models.simulation.domains import Shop
from models.simulation.visits import Users

START = pd.Timestamp("2025-01-06", tz="UTC")  # a Monday, the first day of the log
_TERMS = ["list_price", "unit_cost", "floor", "ceiling", "quantity"]
_OUTCOMES = ["price", "purchased", "randomised", "propensity"]


@dataclass(frozen=True)
class SimulatedTables:
    """Draws whose users and products are positions, given their ids and times."""

    users: Users
    catalogue: Catalogue
    shop: Shop

    def behaviour(self, events: pd.DataFrame, first: int) -> pd.DataFrame:
        """Return the contract's events, numbered from `first` in the order of `events`: by user, then time."""
        products, product = self.catalogue.table, events["product"].to_numpy("int64")
        return pd.DataFrame(
            {
                "event_id": _numbered("event", first, len(events), digits=9),
                "user_id": self._user_ids(events),
                "occurred_at": _times(events["at"]),
                "kind": pd.Series(np.array(self.shop.kinds.names, object)[events["kind"]], dtype="str"),
                "product_id": products["product_id"].to_numpy()[product],
                "category": products["category"].to_numpy()[product],
                "dwell_seconds": events["dwell_seconds"],
            }
        )

    def market(self, market: pd.DataFrame) -> pd.DataFrame:
        """Return the contract's market, observed just before each week begins."""
        products, product = self.catalogue.table, market["product"].to_numpy("int64")
        list_price = products["list_price"].to_numpy("float64")[product]
        return pd.DataFrame(
            {
                "product_id": products["product_id"].to_numpy()[product],
                "observed_at": START + pd.to_timedelta(market["week"] * 7, unit="D") - pd.Timedelta(seconds=1),
                "competitor_price": np.round(market["competitor"] * list_price, 2),
                "demand_index": market["demand_index"],
                "instrument_supplier_cost": market["instrument_supplier_cost"],
            }
        )

    def offers(self, named: pd.DataFrame) -> pd.DataFrame:
        """Return the contract's offers."""
        pools = ["pool_id"] if "pool_id" in named else []
        columns = ["decision_id", "user_id", "product_id", "decided_at", *_TERMS, *_OUTCOMES, *pools]
        offers = named[columns].rename(columns={"decision_id": "offer_id", "decided_at": "offered_at"})
        return offers.assign(purchased=offers["purchased"].astype("float64"))

    def inventory(self, capacity: pd.DataFrame) -> pd.DataFrame:
        """Return the contract's pools, each of a product and week, ordered by id."""
        opens = START + pd.to_timedelta(7 * capacity["week"], unit="D")
        product = capacity.assign(product_id=self.catalogue.table["product_id"].to_numpy()[capacity["product"]])
        named = product.assign(pool_id=_pool_id(product))[["pool_id", "product_id", "capacity"]]
        pools = named.assign(sells_from=opens, sells_until=opens + pd.Timedelta(days=7))
        return pools.sort_values("pool_id", ignore_index=True)

    def named(self, offers: pd.DataFrame, name: str, first: int = 0) -> pd.DataFrame:
        """Return the offers with ids, numbered from `first` after `name`, and with times; pools are weekly."""
        named = offers.reset_index(drop=True).assign(
            decision_id=_numbered(name, first, len(offers), digits=8),
            user_id=self._user_ids(offers),
            product_id=self.catalogue.table["product_id"].to_numpy()[offers["product"]],
            decided_at=_times(offers["at"]),
        )
        return named.assign(pool_id=_pool_id(named)) if self.shop.has_pools else named

    def decisions(self, named: pd.DataFrame, behaviour: pd.DataFrame, *, is_log: bool) -> Decisions:
        """Join what was known of each offer, as the platform's own extraction does from the tables."""
        products = self.catalogue.table.iloc[named["product"]].reset_index(drop=True)
        people = self.users.table.iloc[named["user"]].reset_index(drop=True)
        pools = ["pool_id"] if "pool_id" in named else []
        columns = [
            "decision_id",
            "user_id",
            "product_id",
            "decided_at",
            *_TERMS,
            *(_OUTCOMES if is_log else []),
            *pools,
        ]
        frame = named[columns].assign(
            category=products["category"],
            brand=products["brand"],
            consent=people["personalisation_consent"],
            market_competitor_ratio=np.round(named["competitor"] * named["list_price"], 2) / named["list_price"],
            market_demand_index=named["demand_index"],
            instrument_supplier_cost=named["instrument_supplier_cost"],
            calendar_weekday=named["decided_at"].dt.day_of_week.add(1).astype("str"),
            **{f"user_{name}": people[name] for name in people.filter(regex="^attr_")},
            **{f"product_{name}": products[name] for name in products.filter(regex="^attr_")},
        )
        if is_log:
            frame = frame.assign(purchased=frame["purchased"].astype("float64"), weight=1.0)
        known = history_features(frame, behaviour)
        return Decisions(pd.concat([frame, known], axis=1), behaviour[list(EVENT_COLUMNS)])

    def _user_ids(self, rows: pd.DataFrame) -> pd.Series:
        return pd.Series(self.users.table["user_id"].to_numpy()[rows["user"]], dtype="str")


def _numbered(name: str, first: int, count: int, digits: int) -> pd.Series:
    return f"{name}-" + pd.Series(np.arange(first, first + count)).astype("str").str.zfill(digits)


def _pool_id(named: pd.DataFrame) -> pd.Series:
    return named["product_id"] + "-week-" + named["week"].astype(str)


def _times(microseconds: pd.Series) -> pd.Series:
    return pd.Series(microseconds.to_numpy("datetime64[us]")).dt.tz_localize("UTC")
