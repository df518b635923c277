"""How a demand shift was seen and mended, as a table and a plot, from the records alone."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")  # no display is needed to write files
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

SMOOTHED_DAYS = 3
_COLOURS = {False: "#b8c4cc", True: "#1b6ca8"}
_SHIFT, _ALARM, _FIT = "#222222", "#b03a2e", "#7a9e5f"


def write_report(found: dict[str, Any], courses: list[dict[str, Any]], folder: Path) -> None:
    """Write `demand_shift.json`, `demand_shift.md` and `demand_shift.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demand_shift.json").write_text(json.dumps(found | {"courses": courses}, indent=1))
    (folder / "demand_shift.md").write_text(markdown(found, courses))
    figure = drawn(courses, found["course"]["shift_day"])
    figure.savefig(folder / "demand_shift.png", dpi=130)
    plt.close(figure)


def markdown(found: dict[str, Any], courses: list[dict[str, Any]]) -> str:
    """Return detection and false alarms by shift, then the profit of each course before, after and at its end."""
    shift_day = found["course"]["shift_day"]
    lines = [
        "# A demand shift, with known truth",
        "",
        f"{found['course']['daily']} quotes a day, looked at {found['course']['looks']} times; a window is a day.",
        "",
        "| shift | detected | days to the alarm, median (slowest) | first alarm by | calm days with a false alarm |",
        "| --- " * 5 + "|",
    ]
    for name, of in found["summary"].items():
        calm = f"{of['false_alarms']} of {of['windows_without_shift']}"
        seen = f"{of['detected']} of {of['seeds']}" if name != "none" else ""
        when = "" if of["median_windows"] is None else f"{of['median_windows']:g} ({of['slowest_windows']})"
        by = ", ".join(f"{check.replace('_', ' ')} {times}" for check, times in of["alarmed_first"].items())
        lines.append(f"| {name} | {seen} | {when} | {by} | {calm} |")
    lines += [
        "",
        "| course | before the shift | then to the first new model, or the end | last week | new models after days |",
    ]
    lines += ["| --- " * 5 + "|"]
    lines += [_course(course, shift_day) for course in courses]
    return "\n".join(lines) + "\n"


def _course(course: dict[str, Any], shift_day: int) -> str:
    share = np.array(course["share"])
    fits = [day for day in course["retrained"] if day >= shift_day]
    until = fits[0] + 1 if fits else len(share)
    means = (share[:shift_day].mean(), share[shift_day:until].mean(), share[-7:].mean())
    how = "as alarms come" if course["retrain"] else "no new model"
    days = ", ".join(str(day - shift_day + 1) for day in course["retrained"])
    return f"| {course['shift']}, {how} | {' | '.join(f'{mean:.1%}' for mean in means)} | {days} |"


def drawn(courses: list[dict[str, Any]], shift_day: int) -> Figure:
    """Draw profit over the oracle's by day, one panel a shift, with the shift, the alarms and the new models."""
    names = list(dict.fromkeys(course["shift"] for course in courses))
    figure, axes = plt.subplots(len(names), sharex=True, figsize=(8, 2.7 * len(names)), layout="constrained")
    for axis, name in zip(np.atleast_1d(axes), names, strict=True):
        if name != "none":
            axis.axvline(shift_day, color=_SHIFT, ls=":", label="demand shifts")
        for course in (course for course in courses if course["shift"] == name):
            share = 100 * smoothed(np.array(course["share"]))
            retrain = course["retrain"]
            label = "a new model at an alarm" if retrain else "the same model"
            axis.plot(share, color=_COLOURS[retrain], label=label)
            alarmed = [alarm["day"] for alarm in course["alarmed"]]
            if retrain or name == "none":
                axis.plot(alarmed, share[alarmed], "v", color=_ALARM, ms=5, label="alarm")
                axis.plot(course["retrained"], share[course["retrained"]], "o", mfc="none", ms=9, color=_FIT,
                          label="new model")  # fmt: skip
        axis.set(title=name if name != "none" else "no shift", ylabel="% of the best profit")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False, loc="lower left")
    np.atleast_1d(axes)[-1].set_xlabel("day after the log")
    return figure


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each value and those just before it (values,)."""
    total = np.cumsum(np.append(0.0, values))
    first = np.maximum(np.arange(len(values)) + 1 - SMOOTHED_DAYS, 0)
    return np.asarray((total[1:] - total[first]) / (np.arange(len(values)) + 1 - first))
