"""What a price is chosen for (profit plus weighted consumer surplus) and three ways to find the best one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import wrightomega

from models.demand.demand_curve import DemandCurve

FloatArray = NDArray[np.float64]

GRID_POINTS = 33
GRID_ROUNDS = 12  # each round keeps two of the 32 cells: 16^-12 of the first width is left
ASCENT_STEPS = 300


@dataclass(frozen=True)
class Objective:
    """Expected profit plus ``satisfaction_weight`` times expected consumer surplus, in money a decision.

    ``list_price`` and ``marginal_cost`` are float64 ``[n]`` in money, one per curve. The marginal cost is
    the unit cost plus the shadow price of scarce stock (or less a bonus for volume). The weight θ lies in
    [0, 1). The objective rises to one maximum in price and falls after it, so clipping the maximum is
    exact.
    """

    curve: DemandCurve
    list_price: FloatArray
    marginal_cost: FloatArray
    satisfaction_weight: float = 0.0

    def expected_profit(self, price: FloatArray) -> FloatArray:
        """Return (price − marginal cost)·P(buy)."""
        ratio = price / self.list_price
        return np.asarray((price - self.marginal_cost) * self.curve.purchase_probability(ratio))

    def value(self, price: FloatArray) -> FloatArray:
        """Return what the price is chosen to maximise."""
        profit = self.expected_profit(price)
        if self.satisfaction_weight == 0:
            return profit
        surplus = self.curve.consumer_surplus(price / self.list_price, self.list_price)
        return np.asarray(profit + self.satisfaction_weight * surplus)

    @property
    def _margin_logit(self) -> FloatArray:
        """The log-odds of a purchase at marginal cost, k = b·v − b·c/L."""
        return self.curve.logit(self.marginal_cost / self.list_price)

    def _price(self, scaled_margin: FloatArray) -> FloatArray:
        """Price whose margin over marginal cost is m = b·(price − c)/L."""
        return np.asarray(self.marginal_cost + self.list_price * scaled_margin / self.curve.sensitivity)


Strategy = Callable[[Objective], FloatArray]


def closed_form(objective: Objective) -> FloatArray:
    """Return p* = c + L·[(1−θ) + ω(ln(1−θ) + k − (1−θ))]/b, with ω the Wright omega function.

    The first-order condition of the logit monopolist solved by Lambert's W (Corless et al. 1996), here with
    the surplus of the user weighted by θ.
    """
    seller = 1.0 - objective.satisfaction_weight
    return objective._price(seller + wrightomega(np.log(seller) + objective._margin_logit - seller))


def gradient_ascent(objective: Objective) -> FloatArray:
    """Return the same price by following the gradient of the log objective, as without a closed form.

    Resilient propagation (Riedmiller & Braun 1993) adapts each row's step from the gradient's sign alone, so
    neither flat nor steep rows need a tuned rate.
    """
    import torch  # costs a second that quoting a price need not wait for

    margin_logit = torch.tensor(objective._margin_logit)
    log_margin = torch.zeros_like(margin_logit, requires_grad=True)
    log_weight = np.log(max(objective.satisfaction_weight, np.finfo(float).tiny))
    ascent = torch.optim.Rprop([log_margin], lr=0.1, step_sizes=(1e-12, 2.0), maximize=True)
    for _ in range(ASCENT_STEPS):
        logit = margin_logit - log_margin.exp()
        log_profit = log_margin + torch.nn.functional.logsigmoid(logit)
        # softplus(z) runs out of doubles where e^z does, and equals e^z long before
        softplus = torch.nn.functional.softplus(logit.clamp(min=-40))
        log_surplus = torch.where(logit < -40, logit, softplus.log())
        ascent.zero_grad()
        torch.logaddexp(log_profit, log_weight + log_surplus).sum().backward()  # type: ignore[no-untyped-call]
        ascent.step()
    return objective._price(log_margin.detach().exp().numpy())


def grid(objective: Objective) -> FloatArray:
    """Return the same price by searching a grid of prices that closes in on the best of them.

    The first grid spans m in [0, 2 + max(k, 0)], which holds the maximum since ω(x) ≤ max(1, x).
    """
    low = np.zeros(len(objective.curve))
    high = 2.0 + np.maximum(objective._margin_logit, 0.0)
    for _ in range(GRID_ROUNDS):
        margins = np.linspace(low, high, GRID_POINTS)
        best = np.argmax([objective.value(objective._price(margin)) for margin in margins], axis=0)
        rows = np.arange(len(low))
        low = margins[np.maximum(best - 1, 0), rows]
        high = margins[np.minimum(best + 1, GRID_POINTS - 1), rows]
    return objective._price((low + high) / 2)


STRATEGIES: dict[str, Strategy] = {
    "closed_form": closed_form,
    "gradient_ascent": gradient_ascent,
    "grid": grid,
}
