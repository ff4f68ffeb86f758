"""What `trueup sql` prints: exact values, tables that fit, statements of a prompt."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from clickhouse.analyst import Answer
from trueup.cli.sql_prompt import Statements
from trueup.cli.sql_table import print_answer, value_text


def printed(answer: Answer, width: int, *, vertical: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    print_answer(console, answer, vertical=vertical)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1234567.5000"), "1,234,567.50"),
        (Decimal("-0.1250"), "-0.125"),
        (Decimal("12345678901234567890123456789012345678.0001"), "12,345,678,901,234,567,890,123,456,789,012,345,678.0001"),
        (Decimal(5), "5"),
        (1234, "1,234"),
        (True, "true"),
        (None, "–"),
        (datetime(2026, 11, 20, 1, 2, 3, 456000, tzinfo=UTC), "2026-11-20 01:02:03.456"),
        (datetime(2026, 11, 20, tzinfo=UTC), "2026-11-20 00:00:00"),
        (date(2026, 11, 20), "2026-11-20"),
        (["a", "b"], "[a, b]"),
    ],
)  # fmt: skip
def test_values_are_written_for_people(value: Any, text: str) -> None:
    assert value_text(value) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**30), max_value=10**30))
def test_no_digit_of_an_amount_is_lost(amount: Decimal) -> None:
    assert Decimal(value_text(amount).replace(",", "")) == amount


def test_amounts_stand_right_and_the_rest_is_counted() -> None:
    rows = [("A", Decimal("5.0000")), ("B", Decimal("1000.0000"))]
    lines = printed(Answer(("shop", "amount"), ("String", "Decimal(38, 4)"), rows, 1_234), 80)
    assert [line.rstrip() for line in lines[:3]] == ["shop    amount", "A         5.00", "B     1,000.00"]
    assert lines[3].startswith("1,234 rows, 1,232 of them not shown")


def test_an_empty_answer_has_its_head() -> None:
    assert [line.rstrip() for line in printed(Answer(("a", "b"), ("String", "UInt8"), [], 0), 80)] == ["a  b", "0 rows"]


def test_what_does_not_fit_is_turned_on_its_side() -> None:
    names = tuple(f"column_{number}" for number in range(20))
    answer = Answer(names, ("Decimal(38, 4)",) * 20, [(Decimal(7),) * 20], 1)
    lines = printed(answer, 40)
    assert lines[0].startswith("── row 1")
    assert [line.split() for line in lines[1:21]] == [[name, "7"] for name in names]


@given(
    st.lists(
        st.tuples(st.text(max_size=60), st.decimals(places=2, min_value=-(10**12), max_value=10**12)),
        min_size=1,
        max_size=5,
    ),
    st.integers(30, 120),
)
def test_nothing_wider_than_the_terminal_is_printed(rows: list[tuple[Any, ...]], width: int) -> None:
    lines = printed(Answer(("text", "amount"), ("String", "Decimal(38, 4)"), rows, len(rows)), width)
    assert max(cell_len(line) for line in lines) <= width


def test_control_characters_of_the_books_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in "".join(printed(Answer(("a",), ("String",), [("\x1b[31mred",)], 1), 80))


def test_a_statement_ends_with_its_semicolon() -> None:
    statements = Statements()
    assert statements.add("") == ""
    assert (statements.add("SELECT 1,"), statements.is_open) == ("", True)
    assert (statements.add("  2;"), statements.is_open) == ("SELECT 1,\n  2", False)
    assert statements.add("SELECT 3 ;") == "SELECT 3"
    statements.add("SELECT")
    statements.drop()
    assert not statements.is_open
