"""What users buy next: frequencies, the demand model's word on them, TIFU-KNN, and how well a ranking foresees it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Codes = NDArray[np.int64]
Scores = NDArray[np.float64]

_TIE = 0.3  # of a basket, so that popularity and probability together never outweigh one


@dataclass(frozen=True)
class Purchases:
    """Who bought what on which day (lines,), as codes; a user's purchases of one day are one basket.

    `users` and `products` say how many codes there are of each.
    """

    user: Codes
    product: Codes
    day: Codes
    users: int
    products: int

    def select(self, lines: NDArray[np.bool_]) -> "Purchases":
        """Return some of the lines, over the same codes."""
        return Purchases(self.user[lines], self.product[lines], self.day[lines], self.users, self.products)

    def next_baskets(self) -> csr_array:
        """Return each user's first basket (users, products): 1 where the product is in it."""
        first = np.full(self.users, np.iinfo("int64").max)
        np.minimum.at(first, self.user, self.day)
        return self.select(self.day == first[self.user]).matrix() > 0

    def matrix(self, weight: Scores | None = None) -> csr_array:
        """Return the sum of the lines' weights (users, products); without them, the baskets that hold a product."""
        if weight is not None:
            return csr_array((weight, (self.user, self.product)), shape=(self.users, self.products))
        lines = np.unique(np.stack([self.user, self.product, self.day]), axis=1)
        return csr_array((np.ones(lines.shape[1]), (lines[0], lines[1])), shape=(self.users, self.products))

    @cached_property
    def visit(self) -> tuple[Codes, Codes]:
        """Place of each line's basket among its user's (lines,), from 0, and baskets of each user (users,)."""
        visits, line = np.unique(np.stack([self.user, self.day]), axis=1, return_inverse=True)
        count = np.bincount(visits[0], minlength=self.users)
        first = np.cumsum(count) - count
        return line - first[self.user], count.astype("int64")


def popularity(purchases: Purchases) -> Scores:
    """Return how many baskets hold each product (products,)."""
    return np.asarray(purchases.matrix().sum(axis=0), dtype="float64")


def personal_frequency(purchases: Purchases) -> csr_array:
    """Return how many of each user's baskets hold each product (users, products)."""
    return purchases.matrix()


def relevance(baskets: Scores, popularity: Scores, purchase_probability: Scores) -> Scores:
    """Return the relevance of pairs of user and product (pairs,), comparable between products of one user.

    What people buy again leads; among products that as many of the user's own baskets held, and those are most of
    them, popularity and the demand model decide.

    Args:
        baskets: how many of the user's own baskets held the product.
        popularity: how many of everybody's baskets held it, over the most that any product has: 0 to 1.
        purchase_probability: at the price it would be shown at; 0 where it has no price.

    """
    return baskets + _TIE * popularity + _TIE * purchase_probability


@dataclass(frozen=True)
class TifuKnn:
    """Temporal item frequencies and nearest neighbours (Hu et al., SIGIR 2020, section 4).

    The defaults are the published ones for Ta Feng.

    Args:
        neighbours: nearest users whose mean vector is joined to the user's own.
        groups: a user's baskets, in order, are cut into so many groups of (nearly) equal size.
        basket_decay: weight of a basket over that of the next one in its group.
        group_decay: weight of a group over that of the next one.
        own: weight of the user's own vector; the neighbours' has the rest.

    """

    neighbours: int = 300
    groups: int = 7
    basket_decay: float = 0.9
    group_decay: float = 0.7
    own: float = 0.7

    def vectors(self, purchases: Purchases) -> csr_array:
        """Return each user's decayed frequencies (users, products).

        The mean over groups of group_decay^(groups after it) times the mean over the group's baskets of
        basket_decay^(baskets after it in the group); earlier groups are the smaller ones where sizes differ.
        """
        place, count = purchases.visit
        place, baskets = place, count[purchases.user]
        groups = np.minimum(baskets, self.groups)
        size, larger = np.divmod(baskets, groups)
        border = (groups - larger) * size  # baskets in the smaller groups
        late = place >= border
        size_here = np.where(late, size + 1, size)
        offset = np.where(late, place - border, place)
        group = offset // size_here + np.where(late, groups - larger, 0)
        after = size_here - 1 - offset % size_here
        within = self.basket_decay**after / size_here
        return purchases.matrix(within * self.group_decay ** (groups - 1 - group) / groups)

    def scores(self, purchases: Purchases, users: Codes, block: int = 512) -> Iterator[tuple[Codes, Scores]]:
        """Return blocks of `users` (B,) with their scores (B, products)."""
        vectors = self.vectors(purchases)
        squared = np.asarray(vectors.multiply(vectors).sum(axis=1))
        for start in range(0, len(users), block):
            asked = users[start : start + block]
            near = self._nearest(vectors, squared, asked)
            shares, firsts = np.full(near.size, 1 / near.shape[1]), np.arange(len(asked) + 1) * near.shape[1]
            mean = csr_array((shares, near.ravel(), firsts), shape=(len(asked), vectors.shape[0]))
            yield asked, (self.own * vectors[asked] + (1 - self.own) * (mean @ vectors)).toarray()

    def _nearest(self, vectors: csr_array, squared: Scores, asked: Codes) -> Codes:
        """Return the users nearest to each of `asked` by Euclidean distance (B, neighbours), itself left out."""
        distance = squared - 2 * (vectors[asked] @ vectors.T).toarray()  # each row but for a constant
        distance[np.arange(len(asked)), asked] = np.inf
        return np.argpartition(distance, min(self.neighbours, vectors.shape[0] - 1) - 1)[:, : self.neighbours]


def ranked(scores: Scores, count: int) -> Codes:
    """Return the `count` best columns of each row (rows, count), best first."""
    best = np.argpartition(-scores, count - 1)[:, :count]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return np.take_along_axis(best, order, 1)


def hits(ranking: Codes, targets: csr_array) -> NDArray[np.bool_]:
    """Whether each ranked product is in the row's target (rows, count); a product of -1 is none."""
    columns = targets.shape[1]
    row = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
    asked = np.arange(len(ranking))[:, None] * columns + ranking
    found: NDArray[np.bool_] = np.isin(asked, row * columns + targets.indices) & (ranking >= 0)
    return found


def recall(hit: NDArray[np.bool_], relevant: Codes, count: int) -> Scores:
    """Return the share of each row's `relevant` products among its first `count` (rows,), NaN where there is none."""
    found = hit[:, :count].sum(axis=1)
    return np.asarray(np.divide(found, relevant, out=np.full(len(hit), np.nan), where=relevant > 0))


def ndcg(hit: NDArray[np.bool_], relevant: Codes, count: int) -> Scores:
    """Return the discounted gain of the first `count` over the best possible (rows,) (Järvelin & Kekäläinen 2002)."""
    discount = 1 / np.log2(np.arange(count) + 2)
    best = np.append(0.0, discount.cumsum())[np.minimum(relevant, count)]
    gain = hit[:, :count] @ discount
    return np.asarray(np.divide(gain, best, out=np.full(len(hit), np.nan), where=best > 0))
