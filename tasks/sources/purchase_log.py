"""The contract's tables from a log of purchases: what was bought, when and for how much, and nothing else.

Such a log knows neither the offers that were declined nor the prices that nobody paid. Both are
reconstructed, and by one rule throughout: an offer rests on the lines of its own day and of earlier days,
never on later ones. Whom an item is offered to, and the list price beside its price, rest on strictly earlier
days.

The log has days and no hours. Offers stand at 00:00 UTC and purchases at 12:00, so that the history before an
offer never holds that day's basket; market facts stand at the end of their day.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.sources.shelf import SALES_DAYS, Codes, Shelf

VERSION = 1  # of the construction; raise it when what the tables hold changes, so that they are read anew

DECLINED_SHARE = 1 / 16  # of the declined offers, the share that is kept

NOON = pd.Timedelta(hours=12)
END_OF_DAY = pd.Timedelta(hours=23, minutes=59, seconds=59)

log = logging.getLogger("pricing.purchase_log")


@dataclass(frozen=True)
class PurchaseLog:
    """Purchase lines, at most one for each day, user and item.

    ``lines`` has the columns day (midnight UTC), user_id, item_id, subclass, units, total_price and
    total_cost (both of all the line's units; a cost of 0 is one that nobody knew), age_group and pin_code
    (null where nobody knew it).
    """

    lines: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Build the contract's tables, by name. The log has no views, no stock and no outside competitors."""
        started = perf_counter()
        tables = {
            "users": self.users(),
            "products": self.products(),
            "behaviour": self.behaviour(),
            "market": self.market(),
            "offers": self.offers(),
        }
        counts = ", ".join(f"{len(frame):,} {name}" for name, frame in tables.items())
        log.info("%s lines became %s in %.1f s", f"{len(self.lines):,}", counts, perf_counter() - started)
        return tables

    def users(self) -> pd.DataFrame:
        """Build one row a user. The age group is there to measure fairness, and for nothing else."""
        users = self.lines.drop_duplicates("user_id")
        return pd.DataFrame(
            {
                "user_id": users["user_id"],
                "protected_group": users["age_group"],
                "attr_pin_code": users["pin_code"],
            }
        ).reset_index(drop=True)

    def products(self) -> pd.DataFrame:
        """Build one row for each item whose cost was ever known, with its last regular price and unit cost.

        An item that was never sold singly has no shelf price; what a unit cost on its last day stands in.
        """
        by_day = self.lines.groupby(["item_id", "day"])[["total_price", "units"]].sum()
        last = by_day.groupby("item_id").last()
        list_price = pd.DataFrame(self.shelf.regular_price).ffill(axis=1).iloc[:, -1].to_numpy()
        products = pd.DataFrame(
            {
                "product_id": self.item_ids,
                "category": self.subclass_names[self.subclass],
                "list_price": np.where(np.isnan(list_price), last["total_price"] / last["units"], list_price),
                "unit_cost": self.shelf.unit_cost[:, -1],
            }
        )
        return products.dropna(subset="unit_cost").reset_index(drop=True)

    def behaviour(self) -> pd.DataFrame:
        """Build one purchase event a line; an item without any known cost is in it by its category alone."""
        lines, item = self.lines, self.codes["item"].to_numpy()
        is_product = ~np.isnan(self.shelf.unit_cost[:, -1])
        return pd.DataFrame(
            {
                "event_id": _line_id(lines["day"], lines["user_id"], lines["item_id"]),
                "user_id": lines["user_id"],
                "occurred_at": lines["day"] + NOON,
                "kind": "purchase",
                "product_id": lines["item_id"].where(is_product[item]),
                "category": self.subclass_names[self.subclass[item]],
            }
        )

    def market(self) -> pd.DataFrame:
        """Build what was known of each leading item on the eve of the days on which it led.

        The log's last day is the eve of the day on which prices go live. ``index_substitutes`` is a proxy of
        competition: the price ratio of the subclass's other items. They are the shop's own, so it is no
        competitor's price. ``instrument_unit_cost`` is the unit cost over its usual level.
        """
        item, eve = self.shelf.leading["item"].to_numpy(), self.shelf.leading["eve"].to_numpy()
        return pd.DataFrame(
            {
                "product_id": self.item_ids[item],
                "observed_at": self.days[eve] + END_OF_DAY,
                "index_substitutes": self.shelf.substitutes[item, eve],
                "instrument_unit_cost": self.shelf.relative_cost[item, eve],
            }
        )

    def offers(self) -> pd.DataFrame:
        """Build what users on a shopping trip were offered, bought or not.

        All bought offers are kept. Of the declined ones a share is, drawn by a hash of user, item and day,
        with its inverse as weight.
        """
        kept = self._sampled(self._exposures())
        user, item, day = (kept[name].to_numpy() for name in ("user", "item", "day"))
        bought = kept["purchased"].to_numpy()
        offers = pd.DataFrame(
            {
                "user_id": self.user_ids[user],
                "product_id": self.item_ids[item],
                "offered_at": self.days[day],
                "price": self.shelf.price_in_force[item, day],
                "purchased": bought.astype(np.int64),
                "list_price": self.shelf.regular_price[item, day - 1],
                "unit_cost": self.shelf.unit_cost[item, day],
                "quantity": 1.0,
                "randomised": 0,
                "weight": np.where(bought, 1.0, 1.0 / DECLINED_SHARE),
            }
        )
        offer_id = _line_id(offers["offered_at"], offers["user_id"], offers["product_id"])
        return offers.assign(offer_id=offer_id)

    def _exposures(self) -> pd.DataFrame:
        """One row (user, item, day, purchased) for each trip and item that the user may be offered on it.

        A trip is a day on which a user bought anything; offered are the leading items of the subclasses in
        which the user bought on an earlier day. No part of that depends on what the trip brings.
        """
        lines = self.codes.assign(subclass=self.subclass[self.codes["item"]])
        bought = lines[["user", "subclass", "day"]].drop_duplicates()
        first = bought.groupby(["user", "subclass"])["day"].min().rename("first_day").reset_index()
        trips = lines.loc[lines["day"] >= SALES_DAYS, ["user", "day"]].drop_duplicates()
        interest = trips.merge(first, on="user")
        interest = interest[interest["first_day"] < interest["day"]]
        led = self.shelf.leading.assign(day=self.shelf.leading["eve"] + 1)
        exposures = interest.merge(led, on=["subclass", "day"])[["user", "item", "day"]]
        return exposures.assign(purchased=self._key(exposures).isin(self._key(lines)))

    def _key(self, rows: pd.DataFrame) -> pd.Series:
        """One number for each user, item and day."""
        return (rows["user"] * len(self.item_ids) + rows["item"]) * len(self.days) + rows["day"]

    def _sampled(self, exposures: pd.DataFrame) -> pd.DataFrame:
        """All bought and a share of the declined: the same rows whatever other lines the log holds."""
        user, item, day = (
            pd.util.hash_array(ids.to_numpy())[exposures[name]]
            for name, ids in (("user", self.user_ids), ("item", self.item_ids), ("day", self.days))
        )
        draw = _mixed(user ^ _mixed(item ^ _mixed(day)))
        kept = exposures["purchased"].to_numpy() | (draw < np.uint64(DECLINED_SHARE * 2**64))
        return exposures[kept].sort_values(["day", "user", "item"], ignore_index=True)

    # Ids are sorted, so that further lines reorder nothing.

    @cached_property
    def user_ids(self) -> pd.Index:
        """Users, by code."""
        return _distinct(self.lines["user_id"])

    @cached_property
    def item_ids(self) -> pd.Index:
        """Items, by code."""
        return _distinct(self.lines["item_id"])

    @cached_property
    def subclass_names(self) -> pd.Index:
        """Subclasses, by code."""
        return _distinct(self.lines["subclass"])

    @cached_property
    def days(self) -> pd.DatetimeIndex:
        """All days from the log's first to its last, by code."""
        return pd.date_range(self.lines["day"].min(), self.lines["day"].max(), freq="D", unit="us")

    @cached_property
    def codes(self) -> pd.DataFrame:
        """The codes of user, item and day of each line."""
        return pd.DataFrame(
            {
                "user": _codes(self.lines["user_id"], self.user_ids),
                "item": _codes(self.lines["item_id"], self.item_ids),
                "day": _codes(self.lines["day"], self.days),
            }
        )

    @cached_property
    def subclass(self) -> Codes:
        """The subclass of each item: the one it was first sold under, since the shop moves items later."""
        in_order = self.lines.sort_values(["item_id", "day", "subclass"])
        return _codes(in_order.drop_duplicates("item_id")["subclass"], self.subclass_names)

    @cached_property
    def shelf(self) -> Shelf:
        """What the shop's shelf showed each day."""
        money = self.lines[["units", "total_price", "total_cost"]].reset_index(drop=True)
        return Shelf(self.codes.join(money), self.subclass, len(self.days))


def _distinct(ids: pd.Series) -> pd.Index:
    index: pd.Index = pd.Index(ids.unique()).sort_values()
    return index


def _codes(values: pd.Series, index: pd.Index) -> Codes:
    return index.get_indexer(pd.Index(values)).astype(np.int64)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): each bit depends on all bits."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _line_id(day: pd.Series, user_id: pd.Series, item_id: pd.Series) -> pd.Series:
    """The day, the user and the item, which name one line of the log, or one offer, for good."""
    name = day.map({one: one.strftime("%Y%m%d") for one in day.unique()}).astype(str)
    return name + "-" + user_id + "-" + item_id
