import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tasks.data.suites import SuiteError, Suites

LATEST = datetime(2024, 6, 1, tzinfo=UTC)


def products(**columns):
    filled = {
        "list_price": 10.0,
        "unit_cost": 4.0,
        "floor": np.nan,
        "ceiling": np.nan,
        "category": "tea",
        "brand": None,
    }
    frame = pd.DataFrame({"waiting_id": range(100, 110)} | filled | columns).set_index("waiting_id")
    return frame.astype({"category": "str", "brand": "str"})


def test_blocks_are_added_up_and_broken_rows_named_by_their_index():
    first, second = products(), products()
    first.loc[103, "list_price"] = 0.0
    second.index += 50
    second.loc[151, ["list_price", "unit_cost"]] = -1.0
    verdict = Suites(LATEST).run("products", [first, second])
    assert (verdict.rows, verdict.limit) == (20, 0.1)
    assert {rule: count for rule, count in verdict.rules.items() if count} == {
        "list_price is above 0": 2,
        "unit_cost is not below 0": 1,
    }
    assert sorted(verdict.broken.itertuples(index=False, name=None)) == [
        (103, "list_price is above 0"),
        (151, "list_price is above 0"),
        (151, "unit_cost is not below 0"),
    ]


def test_a_table_without_rows_breaks_no_rule():
    verdict = Suites(LATEST).run("products", [])
    assert (verdict.rows, len(verdict.broken), dict(verdict.rules)) == (0, 0, {})


def test_a_rule_about_a_column_that_is_not_there_is_an_error():
    with pytest.raises(SuiteError, match="suite products: the rule 'unit_cost is not below 0' cannot be evaluated"):
        Suites(LATEST).run("products", [products().drop(columns="unit_cost")])


def test_several_contexts_can_live_one_after_another():
    for _ in range(2):
        assert Suites(LATEST).run("products", [products()]).rows == 10


def test_docs_show_counts_of_all_blocks(tmp_path):
    suites = Suites(LATEST)
    spoilt = products(list_price=[-3.25] + [1.0] * 9)
    suites.run("products", [spoilt, products(), spoilt])
    assert suites.write_docs(tmp_path, "load 7") == tmp_path / "index.html"
    [page] = tmp_path.glob("validations/products/load 7/*/*.html")
    assert "-3.25" in page.read_text()


def test_docs_list_every_table_and_mark_what_broke_without_a_network(tmp_path):
    suites = Suites(LATEST)
    suites.run("products", [products(list_price=[-3.25] * 10)])
    suites.run("users", [pd.DataFrame({"user_id": ["u1"], "protected_group": ["a"]})])
    suites.write_docs(tmp_path, "load 7")
    first = (tmp_path / "index.html").read_text()
    rows = re.findall(r'<td><a href="(.+?)">(.+?)</a></td><td>load 7</td><td>.+?</td><td>(.+?)</td>', first)
    assert [row[1:] for row in rows] == [("products", "✗ not all"), ("users", "✓ all")]
    for link, *_ in rows:
        assert (tmp_path / link).read_text().count("i.text-danger::before") == 1
