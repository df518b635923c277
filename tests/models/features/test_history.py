"""What a history says of a decision is what counting its earlier events one by one says."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.history import history_features

START = pd.Timestamp("2026-01-01", tz="UTC")
USERS, PRODUCTS = st.sampled_from("abc"), st.sampled_from(["p", "q", None])
CATEGORIES = st.sampled_from(["x", "y", None])
HOURS = st.integers(0, 6)  # few, so that events and decisions meet at one moment


def at(hours: list[int]) -> pd.Series:
    return pd.Series(START + pd.to_timedelta(hours, unit="h"), dtype="datetime64[us, UTC]")


def table(columns: list[str], rows: list[tuple[object, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[*columns, "hour"])
    texts = {name: frame[name].astype("str") for name in columns}
    return frame.assign(**texts, at=at(frame["hour"].tolist()))


def counted(decision: pd.Series, behaviour: pd.DataFrame) -> dict[str, float]:
    mine = behaviour[behaviour["user_id"] == decision["user_id"]]
    earlier = mine[mine["occurred_at"] < decision["decided_at"]]

    def days(events: pd.DataFrame, which: str) -> float:
        if events.empty:
            return float("nan")
        return (decision["decided_at"] - getattr(events["occurred_at"], which)()) / pd.Timedelta("1D")

    found = {
        "seen": len(earlier),
        "activity_events": np.log1p(len(earlier)),
        "activity_purchases": np.log1p((earlier["kind"] == "purchase").sum()),
        "activity_days_known": days(earlier, "min"),
        "activity_days_since_event": days(earlier, "max"),
    }
    for name, column in (("product", "product_id"), ("category", "category")):
        about = earlier[earlier[column] == decision[column]]
        is_known = pd.notna(decision[column])
        found |= {
            f"pair_{name}_events": np.log1p(len(about)) if is_known else np.nan,
            f"pair_{name}_purchases": np.log1p((about["kind"] == "purchase").sum()) if is_known else np.nan,
            f"pair_days_since_{name}": days(about, "max"),
        }
    return found


@given(
    events=st.lists(st.tuples(USERS, PRODUCTS, CATEGORIES, st.sampled_from(["view", "purchase"]), HOURS), max_size=12),
    decisions=st.lists(st.tuples(USERS, st.sampled_from("pqr"), CATEGORIES, HOURS), max_size=6),
)
@settings(deadline=None)
def test_features_count_the_earlier_events(
    events: list[tuple[object, ...]], decisions: list[tuple[object, ...]]
) -> None:
    behaviour = table(["user_id", "product_id", "category", "kind"], events).rename(columns={"at": "occurred_at"})
    behaviour = behaviour.sort_values(["user_id", "occurred_at"], kind="stable", ignore_index=True)
    frame = table(["user_id", "product_id", "category"], decisions).rename(columns={"at": "decided_at"})
    found = history_features(frame, behaviour)
    assert found.index.equals(frame.index)
    for row, decision in frame.iterrows():
        expected = counted(decision, behaviour)
        window = behaviour.iloc[found["events_start"][row] : found["events_end"][row]]
        assert len(window) == expected.pop("seen")
        assert (window["user_id"] == decision["user_id"]).all()
        assert (window["occurred_at"] < decision["decided_at"]).all()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][row], value, err_msg=name)
