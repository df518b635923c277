import numpy as np
import pandas as pd
import pytest

from models.features.content import ContentError, ContentSpace, Encoders, ProductContent, present


def vectors(rows, width=20, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def test_rows_are_found_by_product_id():
    content = ProductContent(("a", "b"), vectors(2), np.empty((2, 0), "float32"))
    assert content.rows(pd.Series(["b", "new", None, "a", "b"])).tolist() == [1, -1, -1, 0, 1]


@pytest.mark.parametrize(("ids", "rows"), [(("a", "a"), 2), (("a", "b"), 3)])
def test_content_that_does_not_fit_together_is_refused(ids, rows):
    with pytest.raises(ContentError, match=r"twice|vectors"):
        ProductContent(ids, vectors(rows), vectors(len(ids)))


def test_few_products_have_few_directions_which_lose_nothing_of_them():
    known = vectors(6)
    space = ContentSpace.fit(known, most=32, encoder="e")
    assert space.width == 5
    between = np.linalg.norm(known[:, None] - known, axis=2)
    places = space.encode(known, "e")
    ratio = np.linalg.norm(places[:, None] - places, axis=2)[between > 0] / between[between > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)  # distances are kept, up to one scale


def test_the_leading_directions_hold_the_most():
    known = vectors(200) * np.array([5.0, 3.0] + [0.01] * 18, "float32") + 7
    space = ContentSpace.fit(known, most=2, encoder="e")
    places = space.encode(known, "e")
    assert space.width == 2
    assert np.abs(np.corrcoef(places[:, 0], known[:, 0])[0, 1]) > 0.99
    assert np.median(np.linalg.norm(places, axis=1)) == pytest.approx(np.sqrt(2), rel=1e-4)
    assert places[:, 0].std() / places[:, 1].std() == pytest.approx(5 / 3, rel=0.2)  # not whitened


def test_products_without_content_are_typical_and_teach_nothing():
    known = vectors(10)
    gaps = np.concatenate([known, np.zeros((3, 20)), np.full((2, 20), np.nan)]).astype("float32")
    assert present(gaps).tolist() == [True] * 10 + [False] * 5
    space = ContentSpace.fit(gaps, 4, "e")
    np.testing.assert_array_equal(space.mean, ContentSpace.fit(known, 4, "e").mean)
    assert not space.encode(gaps, "e")[10:].any()
    assert space.encode(np.empty((3, 0), "float32"), "").tolist() == [[0.0] * 4] * 3


@pytest.mark.parametrize("known", [vectors(0), vectors(1), np.ones((5, 20), "float32"), np.zeros((5, 20), "float32")])
def test_no_difference_between_products_is_no_space(known):
    assert ContentSpace.fit(known, 32, "e") is None


def test_most_products_alike_still_have_a_scale():
    known = np.ones((50, 20), "float32")
    known[0] += 1
    assert np.isfinite(ContentSpace.fit(known, 32, "e").encode(known, "e")).all()


@pytest.mark.parametrize(("width", "encoder"), [(7, "e"), (20, "other")])
def test_vectors_of_another_encoder_are_refused(width, encoder):
    space = ContentSpace.fit(vectors(10), 4, "e")
    with pytest.raises(ContentError, match="own encoder"):
        space.encode(vectors(3, width), encoder)


def test_encoders_are_true_where_any_is_named():
    assert not Encoders()
    assert Encoders(image="lite0")
