"""Messages that the real Debezium wrote, decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from cdc.decode import ChangeDecoder
from cdc.position import position_of
from trueup.model.change import Change
from trueup.model.tables import TABLES

FOLDER = Path("tests/data/debezium")


class Captured(NamedTuple):
    """One message of Debezium, and what it is decoded to."""

    message: dict[str, Any]
    envelope: dict[str, Any]
    change: Change


def captured(name: str) -> list[Captured]:
    found = []
    for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines():
        message = orjson.loads(line)
        value = message["value"].encode()
        change = ChangeDecoder(TABLES[message["table"]]).decode(value, 0, 0)
        assert isinstance(change, Change)
        envelope = orjson.loads(value)
        found.append(Captured(message, envelope.get("payload", envelope), change))
    return found


@pytest.fixture(scope="module", params=["string", "mysql"])
def plain(request: pytest.FixtureRequest) -> list[Captured]:
    """As the shipped configuration of each connector writes them."""
    return captured(request.param)


def test_every_table_and_operation_is_there(plain: list[Captured]) -> None:
    assert {one.message["table"] for one in plain} == set(TABLES)
    assert {one.envelope["op"] for one in plain} >= {"c", "u", "d"}


def test_messages_are_keyed_as_their_topics_must_be(plain: list[Captured]) -> None:
    for one in plain:
        assert orjson.loads(one.message["key"]) == {TABLES[one.message["table"]].topic_key: one.change.key}


def test_changes_have_their_place_and_their_row(plain: list[Captured]) -> None:
    for one in plain:
        source, change = one.envelope["source"], one.change
        assert change.version == position_of(source) - change.deleted
        assert (change.source, change.commit_us) == (source["name"], source["ts_us"])
        assert change.deleted is (one.envelope["op"] == "d")
        assert change.row is not None
        assert None not in (change.row[0], change.row[1])


def test_amounts_are_exact(plain: list[Captured]) -> None:
    compared = 0
    for one in plain:
        image = one.envelope["after"] or one.envelope["before"]
        for place, column in enumerate(TABLES[one.message["table"]].columns):
            if column.kind == "money" and one.change.row is not None and image.get("currency") == "USD":
                whole, _, digits = image[column.name].partition(".")
                assert one.change.row[place] == int(whole + digits[:2])
                compared += 1
    assert compared


def test_a_moved_row_is_there_under_its_new_key(plain: list[Captured]) -> None:
    gone = [one for one in plain if "__debezium.newkey" in one.message["headers"]]
    come = [one for one in plain if "__debezium.oldkey" in one.message["headers"]]
    assert [one.change.deleted for one in (*gone, *come)] == [True, False]
    assert gone[0].change.version < come[0].change.version


@pytest.mark.parametrize("name", ["precise", "flattened"])
def test_the_other_forms_say_the_same_of_the_same_statements(name: str) -> None:
    told = [(one.change.primary_key, one.change.deleted, one.change.row) for one in captured(name)]
    rule = ("daily", True, 1055, "USD", False)
    changed = ("daily", True, -1, "USD", False)
    assert told[:-1] == [
        (1, False, (1, *rule)),
        (1, False, (1, *changed)),
        (2, False, (2, *rule)),
        (2, False, (2, *changed)),
        (7, False, (7, *rule)),
        (7, True, (7, *rule)),
    ]
    primary_key, deleted, order = told[-1]
    assert (primary_key, deleted) == (1, False)
    assert order is not None
    assert order[:9] == (1, 1, "USD", 1055, 100, 50, '{"rate": 0.05}', "created", None)
