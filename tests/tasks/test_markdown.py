import html

from tasks.markdown import GAP, markdown_table


def test_a_table_has_its_rule_its_sides_and_room_between_its_columns():
    assert markdown_table(["name", "prices"], [["tea", "3"], ["", "12"]], right=["prices"]).splitlines() == [
        f"| name{GAP} | prices |",
        "| --- | ---: |",
        f"| tea{GAP} | 3 |",
        f"| {GAP} | 12 |",
    ]


def test_the_room_is_no_entity_and_no_page_trims_it_away():
    assert html.unescape(GAP) == GAP  # Prefect's page shows the source of an entity
    assert f" x{GAP} ".strip(" ") == f"x{GAP}" == f"x{GAP}".strip()


def test_a_table_without_rows_has_its_head():
    assert markdown_table(["name"], []) == "| name |\n| --- |"
