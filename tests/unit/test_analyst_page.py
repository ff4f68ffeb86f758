"""docs/analysts.md lists every view with every column, as they are defined."""

import re

from clickhouse.views import VIEWS
from scripts.analyst_views import PAGE, written


def test_the_page_has_the_views_as_they_are_defined() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run python scripts/analyst_views.py"


def test_the_diagram_names_views_and_columns_that_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    diagram = page.partition("```mermaid")[2].partition("```")[0]
    columns = {view.name: {column.name for column in view.columns} for view in VIEWS}
    lines = re.findall(r"(v_\w+) \S+ (v_\w+) : \"?([\w, ]+)", diagram)
    assert len(lines) == diagram.count(" : ")
    assert [line for line in lines if not set(line[2].split(", ")) <= columns[line[0]] & columns[line[1]]] == []
