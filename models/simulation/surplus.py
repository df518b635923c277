"""What a simulated marketplace's users truly gain from a price: the area under their demand curve above it."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.features.decisions import Decisions
from models.simulation.marketplace import Marketplace

Array = NDArray[np.float64]

# Gauss-Legendre pieces of the price ratio above the price; beyond the last, demand is negligible in every domain.
_PIECES = (0.0, 0.2, 0.6, 1.5, 4.0, 10.0)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


def true_surplus(marketplace: Marketplace, decisions: Decisions, price_ratio: Array) -> Array:
    """Return the expected consumer surplus (rows,), in money, at price / list price (rows,).

    The integral of the true purchase probability over all higher prices, times units and list price; it holds for
    truths of any form, where the log-sum of a logit would not.
    """
    area = np.zeros(len(decisions))
    for low, high in pairwise(_PIECES):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            above = low + (high - low) * (node + 1) / 2
            area += weight * (high - low) / 2 * marketplace.purchase_probability(decisions, price_ratio + above)
    return np.asarray(area * decisions.list_price * decisions.frame["quantity"].to_numpy("float64"))
