from pathlib import Path

from matplotlib import pyplot as plt

from tests.benchmarks.scaling_plot import gains, write_curve

MEASURED = {
    4: {"extract_seconds": 2.0, "score_seconds": 5.0},
    1: {"extract_seconds": 6.0, "score_seconds": 15.0},
    2: {"extract_seconds": 4.0, "score_seconds": 7.5},
}


def test_a_gain_is_against_the_fewest_processes() -> None:
    assert gains(MEASURED) == {"extract": {1: 1.0, 2: 1.5, 4: 3.0}, "score": {1: 1.0, 2: 2.0, 4: 3.0}}


def test_the_curve_is_a_small_picture(tmp_path: Path) -> None:
    open_before = plt.get_fignums()
    write_curve(MEASURED, tmp_path / "scaling.png")
    assert 5_000 < (tmp_path / "scaling.png").stat().st_size < 150_000
    assert plt.get_fignums() == open_before


def test_it_is_part_of_make_bench() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "-m tests.benchmarks.scaling " in makefile.split("\nbench:")[1].split("\n\n")[0]
