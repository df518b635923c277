import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.columns import FeatureError, FeatureGroup, Scale, Vocabulary


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=30), st.integers(1, 3))
def test_vocabulary_gives_every_value_an_index_of_its_own(values, minimum_count):
    column = pd.Series(values, dtype="str")
    vocabulary = Vocabulary.fit(column, minimum_count)
    codes = vocabulary.encode(column)
    for value, code in zip(column, codes, strict=True):
        if value is None or pd.isna(value):
            assert code == 0
        elif values.count(value) < minimum_count:
            assert code == 1
        else:
            assert vocabulary.values[code - 2] == value


def test_values_training_never_saw_are_unknown():
    vocabulary = Vocabulary.fit(pd.Series(["a", "b"]), 1)
    assert vocabulary.encode(pd.Series(["b", "new", None])).tolist() == [3, 1, 0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=20))
def test_places_stay_between_0_and_1(values):
    array = np.array(values, dtype="float64")
    encoded = Scale.fit(array).encode(array)
    assert (np.isnan(encoded) == ~np.isfinite(array)).all()
    assert np.nanmax(np.abs(encoded), initial=0) <= 1


def test_missing_numbers_get_an_indicator_only_where_training_had_some():
    frame = pd.DataFrame({"context_a": [1.0, np.nan, 3.0], "context_b": [1.0, 2.0, 3.0]})
    group = FeatureGroup.fit(frame, list(frame), 1)
    encoded = group.encode(pd.DataFrame({"context_a": [np.nan, 2.0], "context_b": [np.nan, 2.0]}))
    assert group.width == 3
    assert encoded.numeric.tolist() == [[0, 0.5, 1], [0.5, 0.5, 0]]


def test_a_column_absent_later_is_missing_and_a_new_one_is_ignored():
    frame = pd.DataFrame({"context_a": [1.0, 2.0], "context_shop": ["x", "y"]})
    group = FeatureGroup.fit(frame, list(frame), 1)
    later = group.encode(pd.DataFrame({"context_other": [1.0]}))
    assert later.numeric.tolist() == [[0.5]]
    assert later.codes.tolist() == [[0]]


def test_a_column_that_changes_its_type_is_refused():
    group = FeatureGroup.fit(pd.DataFrame({"context_a": [1.0, 2.0]}), ["context_a"], 1)
    with pytest.raises(FeatureError, match="'context_a' was a number in training and now holds 'high'"):
        group.encode(pd.DataFrame({"context_a": ["high"]}))
    with pytest.raises(FeatureError, match="'context_at' is a time"):
        FeatureGroup.fit(pd.DataFrame({"context_at": pd.to_datetime(["2024-01-01"])}), ["context_at"], 1)


def test_bools_are_numbers_and_may_be_missing():
    frame = pd.DataFrame({"context_new": pd.array([True, False, None], "boolean")})
    group = FeatureGroup.fit(frame, ["context_new"], 1)
    assert group.encode(frame).numeric.tolist() == [[1, 0], [0, 0], [0, 1]]
