import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.benchmarks.next_basket import (
    Purchases,
    TifuKnn,
    hits,
    ndcg,
    personal_frequency,
    popularity,
    ranked,
    recall,
    relevance,
)


def purchases(lines, users=3, products=4):
    user, product, day = np.array(lines, dtype="int64").reshape(-1, 3).T
    return Purchases(user, product, day, users, products)


LINES = [(0, 0, 1), (0, 1, 1), (0, 0, 3), (0, 0, 3), (1, 0, 2), (1, 2, 5)]


def test_a_basket_counts_a_product_once():
    log = purchases(LINES)
    np.testing.assert_array_equal(popularity(log), [3, 1, 1, 0])
    np.testing.assert_array_equal(personal_frequency(log).toarray(), [[2, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])


def test_the_next_basket_is_the_first_day_of_each_user():
    np.testing.assert_array_equal(purchases(LINES).next_baskets().toarray(), [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("baskets", [1, 2, 3, 4, 5, 7, 8])
def test_vectors_are_those_of_the_published_formula(baskets):
    """Groups of consecutive baskets, the later ones larger; two decayed means, one inside the other."""
    model = TifuKnn(groups=3)
    log = purchases([(0, basket, 10 * basket) for basket in range(baskets)], users=1, products=baskets)
    groups = min(baskets, model.groups)
    smaller, larger = baskets // groups, baskets % groups
    expected, place = np.zeros(baskets), 0
    for group in range(groups):
        size = smaller + (group >= groups - larger)
        for basket in range(size):
            within = model.basket_decay ** (size - 1 - basket) / size
            expected[place] = within * model.group_decay ** (groups - 1 - group) / groups
            place += 1
    np.testing.assert_allclose(model.vectors(log).toarray()[0], expected)


def test_scores_join_a_users_own_vector_with_the_nearest_others():
    log = purchases([(0, 0, 1), (1, 0, 1), (1, 1, 1), (2, 3, 1)])
    model = TifuKnn(neighbours=1, own=0.75)
    asked, scores = next(model.scores(log, np.array([0])))
    assert asked.tolist() == [0]
    np.testing.assert_allclose(scores, [[1.0, 0.25, 0, 0]])  # user 1 is the nearest: it also bought product 0


def test_products_are_ranked_best_first():
    assert ranked(np.array([[0.1, 0.9, 0.5], [3.0, 1.0, 2.0]]), 2).tolist() == [[1, 2], [0, 2]]


def test_measures_of_a_ranking():
    targets = csr_array(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]))
    hit = hits(np.array([[2, 3, 0], [0, 1, 2], [0, 3, -1]]), targets)
    assert hit.tolist() == [[True, False, True], [False, False, False], [False, False, False]]
    relevant = np.array([2, 0, 1])
    np.testing.assert_allclose(recall(hit, relevant, 2), [0.5, np.nan, 0])
    best = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(ndcg(hit, relevant, 3), [(1 + 0.5) / best, np.nan, 0])


SHARE = st.floats(0, 1)


@given(
    more=st.integers(1, 50),
    fewer=st.integers(0, 49),
    popularity=st.tuples(SHARE, SHARE),
    probability=st.tuples(SHARE, SHARE),
)
def test_no_popularity_outranks_a_basket_of_ones_own(more, fewer, popularity, probability):
    baskets = np.array([max(more, fewer + 1), fewer], dtype=float)
    first, second = relevance(baskets, np.array(popularity), np.array(probability))
    assert first > second


@given(baskets=st.integers(0, 50), popularity=SHARE, probability=st.lists(SHARE, min_size=2, max_size=9))
def test_between_equals_the_likelier_purchase_leads(baskets, popularity, probability):
    equal = np.ones(len(probability))
    found = relevance(baskets * equal, popularity * equal, np.array(probability))
    assert np.all(np.diff(found[np.argsort(probability)]) >= 0)
