"""Great Expectations suites run over blocks of rows, and the Data Docs of what they found."""

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.errors import PricingError
from tasks.data.data_docs import make_readable

RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
EPOCH = pd.Timestamp(0, tz="UTC").as_unit("us")  # in nanoseconds the year 2262 would be the last
SAMPLED = 20  # failing values that Data Docs show


class SuiteError(PricingError):
    """An expectation could not be evaluated on the table it is for."""


@dataclass
class Verdict:
    """What one suite found in one table; ``broken`` has a (row, rule) for each rule that a row breaks."""

    suite: str
    limit: float
    rows: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    broken: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"row": pd.array([], "int64"), "rule": pd.array([], "str")})
    )


class Suites:
    """The suites of ``expectations``, run in pandas within one ephemeral context.

    ``latest`` is the time after which a logged time lies in the future.
    """

    def __init__(self, latest: datetime) -> None:
        self._latest = latest.timestamp()
        self._context = ephemeral_context()
        self._frames = self._context.data_sources.add_pandas("pricing")
        self._results: dict[str, Any] = {}

    def columns(self, name: str) -> list[str]:
        """The columns that a suite's rules look at."""
        return sorted({column for rule in _suite(name).expectations for column in _columns(rule)})

    def run(self, name: str, blocks: Iterable[pd.DataFrame]) -> Verdict:
        """Validate a table's blocks; their index says which row is which.

        Raises:
            SuiteError: an expectation could not be evaluated.
        """
        suite = self._context.suites.add(copy.deepcopy(_suite(name)))
        asset = self._frames.add_dataframe_asset(name)
        definition = asset.add_batch_definition_whole_dataframe("block")
        verdict = Verdict(name, limit=float(suite.meta["failing_share_limit"]))
        pieces = [verdict.broken]
        for frame in blocks:
            batch = definition.get_batch({"dataframe": _in_seconds(frame).reset_index(drop=True)})
            result = batch.validate(suite, result_format=RESULT_FORMAT, expectation_parameters={"latest": self._latest})
            verdict.rows += len(frame)
            for rule in result.results:
                pieces.append(_broken(rule, frame.index, name))
                verdict.rules[_rule_name(rule)] += len(pieces[-1])
            self._results[name] = _together(self._results.get(name), result)
        verdict.broken = pd.concat(pieces, ignore_index=True)
        return verdict

    def write_docs(self, folder: Path, run_name: str) -> Path:
        """Build the Data Docs of the suites run so far into a static site; returns its first page."""
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.data_context.types.resource_identifiers import (
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )

        run = RunIdentifier(run_name=run_name)
        for name, result in self._results.items():
            result.meta["run_id"] = run
            identifier = ValidationResultIdentifier(ExpectationSuiteIdentifier(name), run, batch_identifier=name)
            self._context.validation_results_store.set(identifier, result)
        self._context.add_data_docs_site("pricing", _site(folder))
        self._context.build_data_docs(site_names=["pricing"])
        make_readable(folder)
        return folder / "index.html"


def ephemeral_context() -> Any:
    """A context of Great Expectations in memory, which is imported here: it takes seconds."""
    import great_expectations as gx
    from great_expectations.data_context.types import base as gx_config

    in_memory = gx_config.InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    config = gx_config.DataContextConfig(
        store_backend_defaults=in_memory, progress_bars=gx_config.ProgressBarsConfig(globally=False)
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _suite(name: str) -> Any:
    return import_module(f"expectations.{name}").SUITE


def _in_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Times as seconds since 1970: GX compares numbers as a column, but times one by one."""
    times = frame.select_dtypes("datetimetz")
    return frame.assign(**{str(name): (times[name] - EPOCH).dt.total_seconds() for name in times})


def _site(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
    }


def _columns(rule: Any) -> list[str]:
    single = [getattr(rule, name, None) for name in ("column", "column_A", "column_B")]
    return [column for column in (*single, *(getattr(rule, "column_list", None) or [])) if column is not None]


def _rule_name(rule: Any) -> str:
    return str(rule.expectation_config.description)


def _broken(rule: Any, index: pd.Index, suite: str) -> pd.DataFrame:
    if "unexpected_count" not in rule.result:
        raise SuiteError(f"suite {suite}: the rule {_rule_name(rule)!r} cannot be evaluated: {rule.exception_info}")
    places = np.asarray(rule.result.get("unexpected_index_list") or [], dtype=np.int64)
    return pd.DataFrame({"row": index.to_numpy()[places], "rule": _rule_name(rule)})


def _together(earlier: Any, later: Any) -> Any:
    """One result for all blocks: counts added, the first failing values kept, the long lists left out."""
    for place, rule in enumerate(later.results):
        before = earlier.results[place].result if earlier is not None else {}
        rule.result = _added(before, rule.result)
        rule.success = rule.result["unexpected_count"] == 0
    passed, rules = sum(rule.success for rule in later.results), len(later.results)
    later.success = passed == rules
    later.statistics = {
        "evaluated_expectations": rules,
        "successful_expectations": passed,
        "unsuccessful_expectations": rules - passed,
        "success_percent": 100 * passed / rules if rules else None,
    }
    return later


def _added(before: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    counts = {
        name: int(before.get(name, 0)) + int(block.get(name, 0))
        for name in ("element_count", "missing_count", "unexpected_count")
    }
    present = counts["element_count"] - counts["missing_count"]
    seen = [*before.get("partial_unexpected_list", []), *block.get("partial_unexpected_list", [])]
    return counts | {
        "unexpected_percent": 100 * counts["unexpected_count"] / present if present else 0.0,
        "missing_percent": 100 * counts["missing_count"] / max(counts["element_count"], 1),
        "partial_unexpected_list": seen[:SAMPLED],
    }
