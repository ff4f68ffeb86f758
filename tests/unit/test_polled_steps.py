"""A polled row may have taken several steps between two looks: only what no chain of steps explains is held against it."""

from __future__ import annotations

import orjson
import pytest

from reconcile.steps import leads_to
from streams.merge import merge
from tests.source_log import DECODERS, DEFAULTS
from trueup.model.change import Change
from trueup.model.registers import OrderBooks


def change_of(old: str, new: str, *, polled: bool) -> bytes:
    before, after = ({**DEFAULTS["orders"], "status": status} for status in (old, new))
    source = {"name": "settlement", "ts_us": 1_700_000_000_000_000, "lsn": 7, **({"polled": True} if polled else {})}
    return orjson.dumps({"before": before, "after": after, "op": "u", "source": source})


@pytest.mark.parametrize(
    ("old", "new", "polled", "marks"),
    [
        ("created", "completed", False, 1),
        ("created", "completed", True, 0),
        ("created", "paid", True, 0),
        ("completed", "created", True, 1),
        ("cancelled", "completed", True, 1),
    ],
)
def test_steps_of_orders(old: str, new: str, *, polled: bool, marks: int) -> None:
    change = DECODERS["orders"].decode(change_of(old, new, polled=polled), 0, 0)
    assert isinstance(change, Change)
    assert change.polled is polled
    books = OrderBooks(1)
    assert merge(books, change)
    assert len(books.marks) == marks


def test_chains_of_steps() -> None:
    steps = frozenset({("a", "b"), ("b", "c"), ("c", "b"), ("x", "y")})
    assert leads_to(steps, "a", "c")
    assert not leads_to(steps, "a", "y")
    assert not leads_to(steps, "q", "a")
