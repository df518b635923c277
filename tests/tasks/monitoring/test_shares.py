"""Distribution expectations of Great Expectations against what the model learnt from."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from models.evidence.drift import LabelShift, labelled
from tasks.monitoring.shares import share_findings

KINDS = ["view", "cart", "purchase"]


def behaviour(shares: list[float], rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"kind": rng.choice(KINDS, rows, p=shares), "dwell_seconds": rng.exponential(20, rows)})


def test_equal_shares_pass_and_moved_ones_fail() -> None:
    then, same, moved = (
        behaviour([0.7, 0.2, 0.1], 5_000),
        behaviour([0.7, 0.2, 0.1], 500, 1),
        behaviour([0.3, 0.3, 0.4], 500),
    )
    columns = ["kind", "dwell_seconds"]
    assert not any(finding.is_breached for finding in share_findings("behaviour", then, same, columns, 0.001))
    kind, dwell = share_findings("behaviour", then, moved, columns, 0.001)
    assert (kind.is_breached, dwell.is_breached) == (True, False)
    shift = LabelShift.between(labelled(then["kind"], then["kind"]), moved["kind"], 0.001)
    observed = moved["kind"].value_counts(normalize=True).reindex(shift.then.index)
    assert kind.value == pytest.approx(max(entropy(observed, shift.then), entropy(shift.then, shift.now)), rel=0.02)


def test_a_label_that_comes_no_more_is_missed() -> None:
    then, now = behaviour([0.8, 0.12, 0.08], 20_000), behaviour([0.87, 0.13, 0.0], 5_000)
    (finding,) = share_findings("behaviour", then, now, ["kind"], 0.001)
    assert finding.is_breached
    assert finding.excess.startswith("purchase: 7.9% to 0.0%")


def test_a_label_that_was_never_seen_counts_and_an_empty_window_does_not() -> None:
    then, now = behaviour([1.0, 0.0, 0.0], 500), behaviour([1.0, 0.0, 0.0], 100).assign(kind="teleport")
    (finding,) = share_findings("behaviour", then, now, ["kind"], 0.001)
    assert finding.is_breached
    assert finding.value >= np.log(501 / 0.5) * 0.99
    (finding,) = share_findings("behaviour", then, then[:0], ["kind"], 0.001)
    assert np.isnan(finding.value)
