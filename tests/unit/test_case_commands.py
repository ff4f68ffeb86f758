"""Commands are read strictly: what is wrong with one is told by the name of its field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from reconcile.cases.commands import Command, Seen, Snooze, decode_command, encode_command, stake_minor
from tests.case_log import CASE, command
from tests.source_log import START_US
from trueup.case_commands import command_on
from trueup.model.errors import InvalidRecord


def message(kind: str = "assign", /, **fields: Any) -> bytes:
    """A command that can be read but for `fields`."""
    return orjson.dumps({**orjson.loads(encode_command(command(1, kind, 0))[1]), **fields})


def decode(value: bytes | None) -> Command:
    return decode_command(CASE.encode(), value)


def test_every_field_comes_back() -> None:
    given = command(1, "snooze", 3, snooze=Snooze(START_US, "amount-above", 1_234), note="until the bank answers")
    assert decode(encode_command(given)[1]) == given


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"command_id": "1"}, "command_id"),
        ({"command_id": None}, "command_id"),
        ({"discrepancy_id": "AB" * 16}, "discrepancy_id"),
        ({"kind": "delete"}, "kind"),
        ({"kind": ["assign"]}, "kind"),
        ({"actor": " "}, "actor"),
        ({"actor": "a" * 201}, "actor"),
        ({"at_us": 1.5}, "at_us"),
        ({"at_us": 2**62}, "at_us"),
        ({"at_us": True}, "at_us"),
        ({"expected_revision": -1}, "expected_revision"),
        ({"seen": None}, "seen"),
        ({"seen": {"occurrence": 0, "currency": ""}}, "occurrence"),
        ({"seen": {"occurrence": 1, "currency": "USD", "expected": 8}}, "expected"),
        ({"seen": {"occurrence": 1, "currency": "USD", "expected": "8.001"}}, "finer"),
        ({"seen": {"occurrence": 1, "currency": "XXX", "expected": "8"}}, "XXX"),
        ({"seen": {"occurrence": 1, "currency": "", "expected": "8"}}, "expected"),
        ({"seen": {"occurrence": 1, "currency": "", "delta": "8"}}, "delta"),
        ({"args": []}, "args"),
        ({"args": {}}, "to"),
        ({"args": {"to": "bob", "until_us": 1}}, "until_us"),
        ({"args": {"to": "bob", "note": "n" * 4_001}}, "note"),
        ({"reason": "because"}, "reason"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_field(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidRecord, match=word):
        decode(message(**fields))


@pytest.mark.parametrize("kind", ["waive", "resolve", "comment"])
def test_a_decision_to_be_explained_needs_a_note(kind: str) -> None:
    with pytest.raises(InvalidRecord, match="note"):
        decode(message(kind, args={"note": "\n"}))


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"until_us": None, "condition": None}, {"condition": "some-day"}, {"until_us": "tomorrow"},
        {"condition": "amount-above"}, {"condition": "comes-back", "limit": "5"}, {"until_us": 1, "limit": "5"},
    ],
)  # fmt: skip
def test_a_snooze_must_end(arguments: dict[str, Any]) -> None:
    value = orjson.loads(encode_command(command(1, "snooze", 0, snooze=Snooze(1, "", None)))[1])
    with pytest.raises(InvalidRecord):
        decode(orjson.dumps({**value, "args": arguments}))


@pytest.mark.parametrize(
    ("seen", "stake"),
    [
        (Seen(1, 800, 850, "USD"), 50), (Seen(1, 850, 800, "USD"), 50), (Seen(1, 800, None, "USD"), 800),
        (Seen(1, None, -5, "JPY"), 5), (Seen(1, None, None, ""), None),
    ],
)  # fmt: skip
def test_a_missing_side_counts_as_nothing(seen: Seen, stake: int | None) -> None:
    assert stake_minor(seen) == stake


def test_a_command_says_what_the_row_of_the_view_showed() -> None:
    row = {
        "discrepancy_id": CASE, "revision": 4, "occurrences": 2, "currency": "KWD", "expected": Decimal("1.5000"),
        "actual": None,
    }  # fmt: skip
    given = command_on(row, "waive", "ann", START_US, note="agreed")
    assert (given.expected_revision, given.seen) == (4, Seen(2, 1_500, None, "KWD"))
    assert decode(encode_command(given)[1]) == given
    assert command_on(row, "waive", "ann", START_US, note="agreed").command_id != given.command_id
