import numpy as np
import pytest

from tests.benchmarks.thompson import BELIEFS, GRID, Counts, Logistic


@pytest.mark.parametrize("belief", BELIEFS.values(), ids=lambda belief: belief.__name__)
def test_it_finds_the_best_price_of_a_known_demand(belief: type) -> None:
    random, believed = np.random.default_rng(0), belief()
    chance = 1 / (1 + np.exp(6 * (GRID - 1)))
    best = int(np.argmax((GRID - 0.4) * chance))
    chosen = []
    for _ in range(3_000):
        place = int(np.argmax((GRID - 0.4) * believed.drawn(random)))
        believed.learn(place, bool(random.random() < chance[place]))
        chosen.append(place)
    late = np.bincount(chosen[-500:], minlength=len(GRID))
    earned = ((GRID - 0.4) * chance * late).sum() / late.sum()
    assert earned > 0.97 * (GRID[best] - 0.4) * chance[best]


def test_a_posterior_narrows_as_answers_come() -> None:
    random = np.random.default_rng(1)
    for belief in (Counts(), Logistic()):
        before = np.std([belief.drawn(random) for _ in range(200)], axis=0).mean()
        for number in range(400):
            belief.learn(number % len(GRID), number % 3 == 0)
        assert np.std([belief.drawn(random) for _ in range(200)], axis=0).mean() < before / 2
