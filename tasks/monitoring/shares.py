"""Shares: how far the columns of one window have moved from what the model learnt from, by Great Expectations."""

from collections.abc import Iterator, Sequence

import pandas as pd

from models.evidence.drift import Finding, LabelShift, labelled
from tasks.data.suites import ephemeral_context


def share_findings(
    table: str, reference: pd.DataFrame, current: pd.DataFrame, columns: Sequence[str], false_alarm: float
) -> Iterator[Finding]:
    """Yield each column's finding; both frames have the columns, texts or numbers, one row an observation."""
    labels = pd.DataFrame({column: labelled(reference[column], current[column]) for column in columns})
    shifts = [
        LabelShift.between(labelled(reference[column], reference[column]), labels[column], false_alarm)
        for column in columns
    ]
    measured = _divergences(table, [shift for shift in shifts if shift.is_known], labels)
    for shift in shifts:
        yield shift.finding(measured.get(shift.column, float("nan")))


def _divergences(table: str, shifts: Sequence[LabelShift], labels: pd.DataFrame) -> dict[str, float]:
    if not shifts:
        return {}
    from expectations.shares import suite

    asset = ephemeral_context().data_sources.add_pandas("monitoring").add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("window").get_batch({"dataframe": labels})
    return {
        result.expectation_config.kwargs["column"]: float(result.result["observed_value"])
        for result in batch.validate(suite(table, shifts)).results
    }
