"""Shares: how far the columns of one window have moved from what the model learnt from, by Great Expectations."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

import pandas as pd

from models.evidence.drift import Finding, LabelShift, labelled
from tasks.data.suites import ephemeral_context


def share_findings(
    table: str, reference: pd.DataFrame, current: pd.DataFrame, columns: Sequence[str], false_alarm: float
) -> Iterator[Finding]:
    """Yield each column's finding; both frames have the columns, texts or numbers, one row an observation.

    Measured in both directions, of which the larger counts: one alone hardly sees a label that has come, the other one
    that has gone.
    """
    then = pd.DataFrame({column: labelled(reference[column], reference[column]) for column in columns})
    now = pd.DataFrame({column: labelled(reference[column], current[column]) for column in columns})
    shifts = [LabelShift.between(then[column], now[column], false_alarm) for column in columns]
    known = {shift.column: shift for shift in shifts if shift.is_known}
    limits = {column: shift.limit for column, shift in known.items()}
    forward = _divergences(table, now, {column: shift.then.to_dict() for column, shift in known.items()}, limits)
    backward = _divergences(table, then, {column: shift.now.to_dict() for column, shift in known.items()}, limits)
    for shift in shifts:
        yield shift.finding(max(forward[shift.column], backward[shift.column]) if shift.is_known else float("nan"))


def _divergences(
    table: str, labels: pd.DataFrame, shares: Mapping[str, Mapping[Hashable, float]], limits: Mapping[str, float]
) -> dict[str, float]:
    """How far each column's labels are from the shares, in nats."""
    if not shares:
        return {}
    from expectations.shares import suite

    asset = ephemeral_context().data_sources.add_pandas("monitoring").add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("window").get_batch({"dataframe": labels})
    return {
        result.expectation_config.kwargs["column"]: float(result.result["observed_value"])
        for result in batch.validate(suite(table, shares, limits)).results
    }
