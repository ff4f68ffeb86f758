"""The envelope, field by field, as Debezium writes it."""

from __future__ import annotations

import orjson
import pytest

from cdc.envelope import Event, SourceIdentity, TableEnvelopes, TableShape, processing_stamp, transaction_stamp
from trueup.model.errors import InvalidRecord

IDENTITY = SourceIdentity("0.1.0", "settlement", "books")
SHAPE = TableShape("public", "payout_item", (("payout_item_id", 20), ("order_id", 20), ("currency", 25)))
ENVELOPES = TableEnvelopes(IDENTITY, SHAPE, ("order_id",), ("payout_item_id",))
STAMP = transaction_stamp(1_795_000_000_000_001, 774, 99)
NOW = processing_stamp(1_795_000_000_000_999)


def body(event: Event) -> dict[str, object]:
    decoded: dict[str, object] = orjson.loads(event[1])
    return decoded


def test_an_insert() -> None:
    ((key, value),) = ENVELOPES.insert((b"5", b"8", b"USD"), 100, STAMP, NOW)
    assert key == b'{"order_id":8}'
    assert orjson.loads(value) == {
        "before": None,
        "after": {"payout_item_id": 5, "order_id": 8, "currency": "USD"},
        "source": {
            "version": "0.1.0",
            "connector": "postgresql",
            "name": "settlement",
            "db": "books",
            "schema": "public",
            "table": "payout_item",
            "snapshot": "false",
            "ts_ms": 1_795_000_000_000,
            "ts_us": 1_795_000_000_000_001,
            "ts_ns": 1_795_000_000_000_001_000,
            "txId": 774,
            "lsn": 100,
            "xmin": None,
            "sequence": '["99","100"]',
        },
        "transaction": None,
        "op": "c",
        "ts_ms": 1_795_000_000_000,
        "ts_us": 1_795_000_000_000_999,
        "ts_ns": 1_795_000_000_000_999_000,
    }


def test_a_row_of_a_snapshot() -> None:
    stamp = transaction_stamp(1, None, None, "first")
    (event,) = ENVELOPES.insert((b"5", b"8", None), 100, stamp, NOW, "r")
    decoded = body(event)
    assert decoded["op"] == "r"
    assert decoded["after"] == {"payout_item_id": 5, "order_id": 8, "currency": None}
    source = decoded["source"]
    assert isinstance(source, dict)
    assert (source["snapshot"], source["txId"], source["sequence"]) == ("first", None, '[null,"100"]')


def test_a_delete() -> None:
    (event,) = ENVELOPES.delete((b"5", b"8", b"USD"), 100, STAMP, NOW)
    assert event[0] == b'{"order_id":8}'
    decoded = body(event)
    assert (decoded["op"], decoded["after"]) == ("d", None)
    assert decoded["before"] == {"payout_item_id": 5, "order_id": 8, "currency": "USD"}


def test_an_update_without_the_row_before() -> None:
    (event,) = ENVELOPES.update(None, (b"5", b"8", b"EUR"), 100, STAMP, NOW)
    decoded = body(event)
    assert (decoded["op"], decoded["before"]) == ("u", None)
    assert decoded["after"] == {"payout_item_id": 5, "order_id": 8, "currency": "EUR"}


@pytest.mark.parametrize("new", [(b"5", b"9", b"USD"), (b"6", b"8", b"USD")])
def test_a_row_that_moves_is_deleted_and_created(new: tuple[bytes, ...]) -> None:
    deleted, created = ENVELOPES.update((b"5", b"8", b"USD"), new, 100, STAMP, NOW)
    assert deleted[0] == b'{"order_id":8}'
    assert created[0] == b'{"order_id":%b}' % new[1]
    assert (body(deleted)["op"], body(created)["op"]) == ("d", "c")
    lsns = [orjson.loads(value)["source"]["lsn"] for _, value in (deleted, created)]
    assert lsns == [99, 100]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ((b"5", None, b"USD"), "missing-key"),
        ((b"5", b"8", b"\xff"), "malformed-row"),
        ((b"5", b"8"), "malformed-row"),
    ],
)
def test_a_row_that_cannot_be_a_message(row: tuple[bytes | None, ...], code: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        ENVELOPES.insert(row, 100, STAMP, NOW)
    assert caught.value.code == code


def test_a_table_without_its_key_column() -> None:
    with pytest.raises(InvalidRecord, match="payout_item has no column shop_id"):
        TableEnvelopes(IDENTITY, SHAPE, ("shop_id",), ("payout_item_id",))


def test_a_key_of_several_columns_names_all_of_them() -> None:
    envelopes = TableEnvelopes(IDENTITY, SHAPE, ("payout_item_id", "currency"), ("payout_item_id", "currency"))
    before, after = (b"5", b"8", b"USD"), (b"5", b"8", b"EUR")
    deleted, created = envelopes.update(before, after, 100, STAMP, NOW)
    assert deleted[0] == b'{"payout_item_id":5,"currency":"USD"}'
    assert created[0] == b'{"payout_item_id":5,"currency":"EUR"}'
    with pytest.raises(InvalidRecord, match="currency is NULL"):
        envelopes.insert((b"5", b"8", None), 100, STAMP, NOW)
