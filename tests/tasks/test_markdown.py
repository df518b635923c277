from tasks.markdown import markdown_table


def test_a_table_has_its_rule_its_sides_and_room_between_its_columns():
    assert markdown_table(["name", "prices"], [["tea", "3"], ["", "12"]], right=["prices"]).splitlines() == [
        "| name&emsp; | prices |",
        "| --- | ---: |",
        "| tea&emsp; | 3 |",
        "| &emsp; | 12 |",
    ]


def test_a_table_without_rows_has_its_head():
    assert markdown_table(["name"], []) == "| name |\n| --- |"
