"""Bid prices between two books: what a unit of stock is worth as requests come and units go."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.pricing.portfolio import Parts, Solution

FloatArray = NDArray[np.float64]

# Bid prices at which a book's sales are counted.
SHARES_OF_LIST_PRICE = (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.5, 2.5)
LEAST_TO_COME = 0.1  # of a book's requests are thought to be still to come, however many have
FLAT = 1e-9  # of the units: what a higher bid price saves at least, if it counts


@dataclass(frozen=True)
class BidPriceCurve:
    """What a unit of one pool's stock is worth by how much of it is left for all requests of a book.

    ``units`` rises and ``bid_price``, in money, falls with it: float64 ``[points]``. ``requests`` is how many units the
    book expects to be asked for.
    """

    pool_id: str
    requests: float
    units: FloatArray
    bid_price: FloatArray

    def at(self, remaining: float, to_come: float) -> float:
        """Return the bid price where so many units are left for the share of the requests that is still to come.

        Those have the mix of all, so that each has the share of the stock that it would have had in a book with more
        of it: the bid price solved again for the pick-up seen (Jasin, Operations Research 2014). With no unit left it
        is the highest.
        """
        with np.errstate(divide="ignore"):
            place = np.log(max(remaining, 0.0) / max(to_come, LEAST_TO_COME))
        return float(np.interp(place, np.log(self.units), self.bid_price))


def bid_price_curves(
    parts: Parts, solution: Solution, pool_ids: list[str], explored_share: float
) -> Iterator[BidPriceCurve]:
    """Yield the curve of each pool of a solved book that sells anything, through the book's own bid price.

    Sales are those of real prices under the solution's other multipliers, but for the share that is explored: drawn
    prices sell the same at any bid price, which what the book itself sells at its own tells.
    """
    pools, own = len(pool_ids), solution.multipliers
    requests, list_prices = np.zeros(pools), np.zeros(pools)
    for portfolio, _ in parts:
        sold = (portfolio.pool >= 0) & (portfolio.quantity > 0)
        pool, quantity = portfolio.pool[sold], portfolio.quantity[sold]
        requests += np.bincount(pool, quantity, pools)
        list_prices += np.bincount(pool, quantity * portfolio.objective.list_price[sold], pools)
    mean_list_price = list_prices / np.where(requests > 0, requests, 1.0)
    bids = np.vstack([own[:pools], np.outer(SHARES_OF_LIST_PRICE, mean_list_price)])
    units = np.zeros_like(bids)
    for portfolio, response in parts:
        for tried, bid in zip(units, bids, strict=True):
            shadow = portfolio.shadow_prices(np.concatenate([bid, own[pools:]]))
            tried += portfolio.usage(response.relaxed(shadow))[:pools]
    of_book = [
        state.limit if state.shadow_price > 0 and not state.runs_out else state.achieved
        for state in solution.states[:pools]
    ]
    sales = np.array(of_book) + (1 - explored_share) * (units - units[0])
    for number in np.flatnonzero(units[0] > 0).tolist():
        yield _curve(pool_ids[number], float(requests[number]), sales[:, number], bids[:, number])


def _curve(pool_id: str, requests: float, units: FloatArray, bids: FloatArray) -> BidPriceCurve:
    """Order the points; of bid prices that sell the same, because a guardrail holds them all, the least stays."""
    order = np.argsort(bids, kind="stable")
    units, bids = np.maximum(units[order], np.finfo(float).tiny), bids[order]
    falls = np.append(True, units[1:] < np.minimum.accumulate(units)[:-1] * (1 - FLAT))
    return BidPriceCurve(pool_id, requests, units[falls][::-1].copy(), bids[falls][::-1].copy())
