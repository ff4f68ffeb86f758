"""What the reader finds of its former life, whatever else is in the topic; and which altered tables can be read."""

from __future__ import annotations

import orjson
import pytest

from cdc.fitting import misfit
from cdc.postgres_state import Progress, ReaderState, SnapshotMark
from cdc.source_tables import SourceTable

TABLE = SourceTable(
    "public", "line", ("number",), ("number",), ("number", "amount"), (("number", "int"), ("amount", "money"))
)


def state(*records: tuple[str, object]) -> ReaderState:
    found = ReaderState("settlement")
    for key, value in records:
        found.take(key.encode(), orjson.dumps(value))
    return found


def test_nothing_is_known_at_first() -> None:
    empty = state(("settlement_b", ["7", "slot", 1, []]), ("settlement_b/progress", [1, 2]))
    assert (empty.mark, empty.progress, empty.asked) == (None, None, {})


def test_the_newest_of_each_counts() -> None:
    found = state(
        ("settlement", ["7", "old", 1, ["public.rule"]]),
        ("settlement/progress", [10, 20]),
        ("settlement", ["7", "new", 5, ["public.orders", "public.rule"]]),
        ("settlement/progress", [30, 40]),
    )
    assert found.mark == SnapshotMark("7", "new", 5, ("public.orders", "public.rule"))
    assert found.progress == Progress(30, 40)


def test_a_request_stays_until_it_is_done_itself() -> None:
    first = ("settlement/copy/public.orders", "first")
    done = ("settlement/copied/public.orders", "first")
    assert state(first).asked == {"public.orders": "first"}
    assert state(first, done).asked == {}
    assert state(first, ("settlement/copy/public.orders", "second"), done).asked == {"public.orders": "second"}


@pytest.mark.parametrize(
    ("columns", "code", "what"),
    [
        ({"number": 23, "amount": 1700}, "", ""),
        ({"number": 20, "amount": 1700, "more": 790}, "", ""),
        ({"number": 23}, "missing-column", "table public.line has no column amount"),
        ({"number": 23, "amount": 790}, "wrong-type", "amount as money"),
        ({"number": 25, "amount": 701}, "wrong-type", "number as int, amount as money"),
    ],
)
def test_a_table_can_be_read_as_long_as_what_is_needed_fits(columns: dict[str, int], code: str, what: str) -> None:
    error = misfit(TABLE, columns)
    assert (error.code if error else "") == code
    assert what in (error.what if error else "")
