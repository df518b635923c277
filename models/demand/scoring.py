"""Users x products: demand and best price of every pair from two tower passes, in blocks of bounded memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.demand.fitted import FittedDemand
from models.demand.network import DemandModel
from models.demand.recalibration import Recalibration
from models.features.columns import move
from models.features.decisions import Decisions
from models.features.encoding import EncodedDecisions

PAIRS_PER_BLOCK = 1 << 16  # a block's arrays stay in a core's cache
_USERS_PER_PASS = 4_096  # through the user tower
_HALLEY_STEPS = 3


class PairCurves(NamedTuple):
    """Log-odds of a purchase = level + sensitivity (1 - price ratio), float32 (users, products) each."""

    level: Tensor
    sensitivity: Tensor

    def log_odds(self, price_ratio: Tensor) -> Tensor:
        """Return the log-odds at price / list price (products,) or (users, products)."""
        return self.level + self.sensitivity * (1 - price_ratio)


@dataclass(frozen=True)
class ProductTerms:
    """Money of each product, float32 (products,): list price, marginal cost, and the interval of its price."""

    list_price: Tensor
    marginal_cost: Tensor
    lower: Tensor
    upper: Tensor

    @classmethod
    def of(cls, *columns: NDArray[np.float64], device: torch.device | None = None) -> Self:
        """Return the terms of four arrays in the order of the fields."""
        return cls(*(torch.tensor(column, dtype=torch.float32, device=device) for column in columns))


class _Tables(NamedTuple):
    """One network's towers, made so that one product of two matrices gives a head's score: (2, rows, D + 2)."""

    queries: Tensor
    keys: Tensor


@dataclass(frozen=True)
class PairScorer:
    """Demand of users x products whose pairs have no history of their own.

    A pair with a history of its own (`pair_*` features not at rest) has a context vector of its own, and is asked of
    `FittedDemand.curve` instead. Users without consent have the population's curve, `unknown`, of each product.
    """

    tables: tuple[_Tables, ...]
    networks: tuple[DemandModel, ...]
    recalibration: Recalibration
    unknown: PairCurves
    consent: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, fitted: FittedDemand, users: Decisions, products: Decisions) -> Self:
        """Run the towers once.

        Args:
            fitted: the demand model.
            users: one decision a user; only what is known of the user is read.
            products: one decision a product for nobody in particular, who has no events; their context holds for all.

        """
        device = fitted.network.randomised_shift.device
        blank = products.frame.assign(consent=True)
        offered = move(fitted.encoding.encode(Decisions(blank, products.events, products.content)), device)
        nobody = fitted.curve(products, personal=False)
        curves = (nobody.sensitivity * (nobody.valuation - 1), nobody.sensitivity)
        return cls(
            tables=tuple(_tables(network, fitted, users, offered) for network in fitted.members),
            networks=fitted.members,
            recalibration=fitted.recalibration,
            unknown=PairCurves(*(torch.tensor(curve, dtype=torch.float32, device=device) for curve in curves)),
            consent=torch.tensor(users.consent, device=device),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """How many users and products."""
        return len(self.consent), len(self.unknown.level)

    def blocks(self, pairs: int = PAIRS_PER_BLOCK) -> Iterator[slice]:
        """Slices of the users, each with about that many pairs."""
        users, products = self.shape
        step = max(1, pairs // max(products, 1))
        for first in range(0, users, step):
            yield slice(first, min(first + step, users))

    @torch.no_grad()
    def curves(self, users: slice) -> PairCurves:
        """Return the demand curves of some users with all products."""
        found = [_responses(network, tables, users) for network, tables in zip(self.networks, self.tables, strict=True)]
        level, sensitivity = (sum(part) / len(part) for part in zip(*found, strict=True))
        fit = self.recalibration
        level, sensitivity = level.mul_(fit.level_scale).add_(fit.alpha), sensitivity.mul_(fit.sensitivity_scale)
        consent = self.consent[users]
        if not consent.all():
            level[~consent], sensitivity[~consent] = self.unknown
        return PairCurves(level, sensitivity)


@torch.no_grad()
def best_prices(curves: PairCurves, terms: ProductTerms, satisfaction_weight: float = 0.0) -> Tensor:
    """Return the price of each pair that maximises the objective inside its interval, float32 (users, products).

    The closed form of `models.pricing.objective`, to about 1e-6 of the price.
    """
    seller = 1 - satisfaction_weight
    margin_log_odds = curves.log_odds(terms.marginal_cost / terms.list_price)
    margin = wright_omega(margin_log_odds.add_(math.log(seller) - seller)).add_(seller)
    price = margin.div_(curves.sensitivity).mul_(terms.list_price).add_(terms.marginal_cost)
    return torch.minimum(torch.maximum(price, terms.lower, out=price), terms.upper, out=price)


def wright_omega(z: Tensor) -> Tensor:
    """Return w with w + ln w = z, by Halley's method on the logarithm of w (Corless & Jeffrey 2002).

    Three steps leave a relative error below 1e-6 in float32 and below 1e-14 in float64.
    """
    above, below = z.clamp(min=1), z.clamp(max=1)
    log_w = torch.where(z > 1, (above - above.log()).log(), below - 0.5 * below.exp())
    for _ in range(_HALLEY_STEPS):
        w = log_w.exp()
        gap = w + log_w - z
        # f(u) = e^u + u - z has f' = e^u + 1 and f'' = e^u
        log_w = log_w - 2 * gap * (w + 1) / (2 * (w + 1) ** 2 - gap * w)
    return log_w.exp()


def _tables(network: DemandModel, fitted: FittedDemand, users: Decisions, offered: EncodedDecisions) -> _Tables:
    key, bias = _product_side(network, offered)
    passes = [
        _user_side(network, fitted, users.select(np.arange(first, min(first + _USERS_PER_PASS, len(users)))))
        for first in range(0, max(len(users), 1), _USERS_PER_PASS)
    ]
    query, own = (torch.cat(part, dim=1) for part in zip(*passes, strict=True))
    query = query / math.sqrt(query.shape[-1])
    ones = torch.ones_like
    return _Tables(
        torch.cat([query, ones(own), own], dim=-1).contiguous(),
        torch.cat([key, bias, ones(bias)], dim=-1).contiguous(),
    )


def _product_side(network: DemandModel, offered: EncodedDecisions) -> tuple[Tensor, Tensor]:
    """Return keys (2, P, D) and biases (2, P, 1), one row a decision."""
    product = network.product(offered.products, network.items)[offered.product]
    visible = torch.zeros(len(product), dtype=torch.bool, device=product.device)
    context = network.context(offered.context, offered.pair, visible)
    bias = (network.product_bias(product) + network.context_bias(context))[:, :2]
    return network.product_key(product).unflatten(-1, (2, -1)).movedim(1, 0), bias.T[..., None]


def _user_side(network: DemandModel, fitted: FittedDemand, users: Decisions) -> tuple[Tensor, Tensor]:
    """Return queries (2, U, D) and biases (2, U, 1), one row a decision."""
    encoded = move(fitted.encoding.encode(users), network.randomised_shift.device)
    user = network.user(encoded.histories, encoded.events, network.items, encoded.longest)[encoded.history]
    return network.user_query(user).unflatten(-1, (2, -1)).movedim(1, 0), network.user_bias(user).T[..., None]


def _responses(network: DemandModel, tables: _Tables, users: slice) -> tuple[Tensor, Tensor]:
    score = tables.queries[:, users] @ tables.keys.mT
    level, sensitivity, _ = network.pooled.tolist()
    ratio = functional.softplus(score[1].add_(math.log(math.e - 1)))
    return score[0].add_(level), ratio.mul_(sensitivity).add_(network.sensitivity_floor)
