"""A simulated marketplace after its log: who asks for prices, and how they truly answer those they get."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.features.decisions import EVENT_COLUMNS, Decisions
from models.features.history import history_features
from models.simulation.domains import TRUTHS
from models.simulation.marketplace import Marketplace, MarketplaceError
from models.simulation.tables import START
from models.simulation.visits import DECISION_MINUTE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_DECISION_DELAY = pd.Timedelta(minutes=DECISION_MINUTE)  # after the start of a visit, whose week is the offer's
_PURCHASE_DELAY = pd.Timedelta(minutes=1)  # after the offer, as in the log


@dataclass(frozen=True)
class LiveMarket:
    """A marketplace whose log ends at one moment; from then on its visitors answer prices that somebody else sets.

    Args:
        market: whose days reach beyond that moment. Its later prices are never shown, nor bought at.
        opens_at: the moment.
        luck: uniform draws by decision id. A visitor buys where the true probability is above it, so that the same
            price is always answered alike and two sets of prices can be compared on the same people.
        shock: of demand, which nobody records, by decision id.

    """

    market: Marketplace
    opens_at: pd.Timestamp
    luck: pd.Series
    shock: pd.Series

    @classmethod
    def opened(cls, market: Marketplace, log_days: int) -> Self:
        """Return the marketplace with the log of its first days.

        Raises:
            MarketplaceError: no day is left after the log, or who has bought wants no more, which was drawn for the
                logged prices alone.

        """
        config = market.config
        if not 0 < log_days < config.days:
            raise MarketplaceError(f"a log of {log_days} days leaves nothing of {config.days} days to go on with")
        if TRUTHS[config.domain].satiation:
            raise MarketplaceError(
                f"in {config.domain} a purchase ends the wish for more, and who bought is drawn with the log: "
                "choose a domain without satiation"
            )
        rng = np.random.default_rng(np.random.SeedSequence(config.seed).spawn(8)[7])  # beside those of the log
        ids = market.log.frame["decision_id"]
        luck = pd.Series(rng.random(len(ids)), index=pd.Index(ids))
        return cls(market, START + pd.Timedelta(days=log_days), luck, market.curves["shock"])

    def again(self, seed: int) -> Self:
        """Return the same people and products under other luck and other weekly shocks."""
        rng = np.random.default_rng(seed)
        frame = self.market.log.frame
        week = (frame["decided_at"] - _DECISION_DELAY - START) // pd.Timedelta(days=7)
        product_week, groups = pd.factorize(pd.MultiIndex.from_arrays([frame["product_id"], week]))
        shock = TRUTHS[self.market.config.domain].shock * rng.normal(size=len(groups))
        ids = pd.Index(frame["decision_id"])
        luck = pd.Series(rng.random(len(ids)), index=ids)
        return replace(self, luck=luck, shock=pd.Series(shock[product_week], index=ids))

    def visits(self, since: pd.Timestamp, until: pd.Timestamp) -> Decisions:
        """Return who is to be quoted what between two moments, in order of time."""
        at = self.market.log.frame["decided_at"].to_numpy()
        order = np.argsort(at, kind="stable")
        asked = (at[order] >= since) & (at[order] < until)
        return self.market.log.select(order[asked])

    def tables(self, until: pd.Timestamp) -> dict[str, pd.DataFrame]:
        """Return the contract's tables at a moment: the log up to its end, and the market's signals up to now."""
        tables, opens_at = self.market.tables, self.opens_at
        limits = {
            "behaviour": ("occurred_at", opens_at),
            "offers": ("offered_at", opens_at),
            "market": ("observed_at", until),
        }
        cut = {name: tables[name][tables[name][column] < limit] for name, (column, limit) in limits.items()}
        return tables | {name: frame.reset_index(drop=True) for name, frame in cut.items()}

    def events(self, since: pd.Timestamp, until: pd.Timestamp) -> pd.DataFrame:
        """Return what users do between two moments whatever they are charged: all their events but purchases."""
        behaviour = self.market.tables["behaviour"]
        at = behaviour["occurred_at"]
        return behaviour[(at >= since) & (at < until) & (behaviour["kind"] != "purchase")].reset_index(drop=True)

    def answers(self, visits: Decisions, price_ratio: Array) -> Flags:
        """Return who buys (rows,) at price / list price (rows,).

        Raises:
            MarketplaceError: a visit is not of this marketplace.

        """
        ids = visits.frame["decision_id"]
        chance = self.market.probability_under(visits, price_ratio, self.shock.reindex(ids).to_numpy("float64"))
        return np.asarray(self.luck.reindex(ids).to_numpy("float64") < chance)

    def purchases(self, visits: Decisions, bought: Flags) -> pd.DataFrame:
        """Return the events that purchases (rows,) leave, as behaviour of the contract."""
        taken = visits.frame[bought].reset_index(drop=True)
        return pd.DataFrame(
            {
                "event_id": "bought-" + taken["decision_id"],
                "user_id": taken["user_id"],
                "occurred_at": taken["decided_at"] + _PURCHASE_DELAY,
                "kind": "purchase",
                "product_id": taken["product_id"],
                "category": taken["category"],
                "dwell_seconds": np.nan,
            }
        )


def with_history(decisions: Decisions, behaviour: pd.DataFrame) -> Decisions:
    """Return the decisions with what these events say of their users, in place of what their own events said."""
    ordered = behaviour.sort_values(["user_id", "occurred_at"], kind="stable", ignore_index=True)
    known = history_features(decisions.frame, ordered)
    frame = pd.concat([decisions.frame.drop(columns=known.columns), known], axis=1)
    return replace(decisions, frame=frame, events=ordered[list(EVENT_COLUMNS)])
