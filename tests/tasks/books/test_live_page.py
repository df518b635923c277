from typing import Any

import pytest

import tasks.books.live_page
from tasks.books.live_page import report_live
from tasks.books.publish import LiveBook


def test_a_run_says_which_book_is_live_at_its_end(book_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    priced, _, _ = book_shop.published()
    shown: dict[str, Any] = {}
    monkeypatch.setattr(
        tasks.books.live_page, "create_markdown_artifact", lambda page, **named: shown.update(named, page=page)
    )
    report_live.fn(LiveBook(priced.book.book_id, 1))
    assert shown["key"] == "live-book"
    page = shown["page"]
    assert page.startswith("# Book 1 of shop is live")
    assert f"{priced.personal_rows:,} personal and {priced.uniform_rows} uniform prices in EUR" in page
    assert "/#/models/demand/versions/1)" in page and "let live by: automatic" in page
    assert "cold start" not in page
