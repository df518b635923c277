"""Alarm page: one alarm in words, as a page of the flow run."""

from datetime import datetime

from prefect import task

from tasks.markdown import show_page
from tasks.monitoring.judge import Alarm

WHAT_FOLLOWS = {
    "retrain": "A training was asked for, which starts by itself.",
    "roll_back": "Prices do harm: `rollback` returns to the book before, by itself only where its automation is on.",
    "warn": "Nothing starts by itself: somebody has to look.",
}


@task
def report_alarm(alarm: Alarm, book_id: int, model_version: int, window_ended_at: datetime) -> None:
    """Keep the alarm as a Markdown page."""
    page = alarm_page(alarm, book_id, model_version, window_ended_at)
    show_page(page, "alarm", f"{alarm.event}: {', '.join(alarm.checks)}")


def alarm_page(alarm: Alarm, book_id: int, model_version: int, window_ended_at: datetime) -> str:
    """The alarm as Markdown: what is to be done, and because of which checks."""
    lines = [
        f"# Alarm for book {book_id}, model version {model_version}: {alarm.action.replace('_', ' ')}",
        "",
        f"In breach at {window_ended_at:%Y-%m-%d %H:%M} UTC:",
        "",
        *(f"- {check.replace('_', ' ')}" for check in alarm.checks),
        "",
        f"{WHAT_FOLLOWS[alarm.action]} The page `monitor` has the figures.",
    ]
    return "\n".join(lines)
