import pytest

from tests.benchmarks.portfolio import markdown, ours_with_stock, ours_with_volume, ours_without_book


@pytest.mark.parametrize("solver", [ours_with_volume, ours_with_stock, ours_without_book])
def test_ours_keeps_every_limit(solver):
    run = solver(2_000) if solver is ours_with_volume else solver(2_000, pools=20)
    assert run.slack >= 0
    assert run.duality_gap < 1e-4
    assert f"| {run.solver} | 2,000 | {run.limits} |" in markdown([run])
