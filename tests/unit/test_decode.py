"""Decoding: every kind of bad message is an InvalidRecord with a stable code; what is good becomes a Change."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cdc.dialect import UNAVAILABLE
from tests.source_log import DECODERS, SOURCE, START_US, Row, envelope, row_of
from trueup.model.change import Change, Decoded
from trueup.model.errors import InvalidRecord

ITEM = row_of("billing_item")
GOOD = orjson.loads(envelope(None, ITEM, "c", 7, START_US))


def decode(value: bytes | None, table: str = "billing_item") -> Decoded:
    return DECODERS[table].decode(value, 3, 9)


def decoded(before: Row | None, after: Row | None, op: str, table: str = "billing_item") -> Change:
    change = decode(envelope(before, after, op, 7, START_US), table)
    assert isinstance(change, Change)
    return change


def code_of(value: Any, table: str = "billing_item") -> str:
    with pytest.raises(InvalidRecord) as refused:
        decode(value if isinstance(value, bytes) else orjson.dumps(value), table)
    return refused.value.code


def with_source(**fields: Any) -> dict[str, Any]:
    return {**GOOD, "source": {**GOOD["source"], **fields}}


def without_source(*names: str) -> dict[str, Any]:
    return {**GOOD, "source": {name: value for name, value in GOOD["source"].items() if name not in names}}


def with_after(table: str = "billing_item", **fields: Any) -> dict[str, Any]:
    return {**GOOD, "after": {**row_of(table), **fields}}


def test_a_change_has_its_row_typed_and_its_place() -> None:
    change = decoded(None, ITEM, "c")
    assert change.row == (1, 1, 9, 1, "sale", "1", 800, "USD", "statemented", START_US, START_US)
    assert (change.source, change.key, change.primary_key) == (SOURCE, 1, 1)
    assert (change.version, change.commit_us, change.deleted) == (7, START_US, False)
    assert (change.partition, change.offset, change.moves) == (3, 9, ())


def test_an_envelope_with_its_schema_is_the_same() -> None:
    assert decode(orjson.dumps({"schema": {"type": "struct"}, "payload": GOOD})) == decode(orjson.dumps(GOOD))


def test_a_tombstone_says_nothing() -> None:
    assert decode(None) is None


def test_milliseconds_stand_in_for_microseconds() -> None:
    change = decode(orjson.dumps(without_source("ts_us")))
    assert isinstance(change, Change)
    assert change.commit_us == START_US


def test_a_delete_keeps_its_last_row() -> None:
    change = decoded(ITEM, None, "d")
    assert change.deleted
    assert change.row == decoded(None, ITEM, "r").row


def test_a_row_that_debezium_moves_to_another_key_stays() -> None:
    """Debezium puts the deletion and the creation at one position."""
    gone, come = decoded(ITEM, None, "d"), decoded(None, {**ITEM, "order_id": 2}, "c")
    assert gone.primary_key == come.primary_key
    assert gone.version < come.version


def test_a_polled_deletion_has_its_own_version() -> None:
    polled = orjson.dumps(
        {**orjson.loads(envelope(ITEM, None, "d", 7, START_US)), "source": with_source(polled=True)["source"]}
    )
    change = decode(polled)
    assert isinstance(change, Change)
    assert change.version == 7


def test_every_truncation_is_malformed() -> None:
    whole = orjson.dumps(GOOD)
    assert {code_of(whole[:length]) for length in range(len(whole))} == {"malformed-json"}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\xff\xfe", "malformed-json"),
        (b"{}{}", "malformed-json"),
        (b'{"op": "c", "after": {"amount": NaN}}', "malformed-json"),
        (b"[" * 5000, "malformed-json"),
        ([], "wrong-type"),
        ("text", "wrong-type"),
        (None, "wrong-type"),
        ({"payload": None}, "wrong-type"),
        ({"payload": [GOOD]}, "wrong-type"),
        ({}, "missing-field"),
        ({**GOOD, "source": "here"}, "missing-field"),
        ({**GOOD, "op": "m"}, "unknown-operation"),
        ({**GOOD, "op": "t", "source": {"name": "settlement"}}, "missing-field"),
        ({**GOOD, "op": None}, "unknown-operation"),
        ({**GOOD, "op": ["c"]}, "unknown-operation"),
        ({**GOOD, "op": {}}, "unknown-operation"),
        (without_source("lsn"), "missing-field"),
        (with_source(lsn=-1), "missing-field"),
        (with_source(lsn=2**63), "missing-field"),
        (with_source(lsn="7"), "missing-field"),
        (with_source(lsn=7.0), "missing-field"),
        (without_source("name"), "missing-field"),
        (without_source("ts_us", "ts_ms"), "missing-field"),
        (with_source(ts_us=-1), "out-of-range"),
        (with_source(ts_us=2**63), "out-of-range"),
        (with_source(ts_us=None, ts_ms=-1), "out-of-range"),
        ({**GOOD, "after": None}, "missing-field"),
        ({**GOOD, "after": [1]}, "missing-field"),
        ({**GOOD, "op": "d"}, "missing-field"),
        ({**GOOD, "op": "u", "before": {**ITEM, "status": ["paid"]}}, "wrong-type"),
        ({**GOOD, "op": "u", "before": {**ITEM, "shop_id": {}}}, "wrong-type"),
        ({**GOOD, "op": "u", "before": {**ITEM, "amount": "NaN"}}, "not-finite"),
        ({**GOOD, "op": "u", "before": {**ITEM, "amount": "1", "currency": []}}, "unknown-currency"),
    ],
)
def test_a_bad_envelope_is_refused(value: Any, code: str) -> None:
    assert code_of(value) == code


@pytest.mark.parametrize(
    ("table", "fields", "code"),
    [
        ("billing_item", {"billing_item_id": None}, "missing-field"),
        ("billing_item", {"billing_item_id": ""}, "wrong-type"),
        ("billing_item", {"billing_item_id": 1.5}, "wrong-type"),
        ("billing_item", {"billing_item_id": True}, "wrong-type"),
        ("billing_item", {"order_id": [1]}, "wrong-type"),
        ("billing_item", {"status": 4}, "wrong-type"),
        ("billing_item", {"currency": 4}, "missing-field"),
        ("billing_item", {"currency": None}, "missing-field"),
        ("billing_item", {"currency": "BTC"}, "unknown-currency"),
        ("billing_item", {"amount": None}, "missing-field"),
        ("billing_item", {"amount": 8.0}, "float-amount"),
        ("billing_item", {"amount": "NaN"}, "not-finite"),
        ("billing_item", {"amount": "9" * 35}, "amount-overflow"),
        ("billing_item", {"amount": "1e24"}, "amount-overflow"),
        ("billing_item", {"amount": "1.001"}, "too-fine"),
        ("billing_item", {"amount": "eight"}, "not-a-number"),
        ("billing_item", {"created_at": "yesterday"}, "wrong-type"),
        ("billing_item", {"created_at": "2026-01-01T00:00:00"}, "wrong-type"),
        ("billing_item", {"created_at": 1.5}, "wrong-type"),
        ("billing_item", {"created_at": "infinity"}, "wrong-type"),
        ("billing_item", {"created_at": 10**18}, "out-of-range"),
        ("billing_item", {"created_at": "0001-01-01T00:00:00+23:59"}, "out-of-range"),
        ("statement", {"item_count": "3"}, "wrong-type"),
        ("statement", {"item_count": 2**63}, "wrong-type"),
        ("statement", {"period_start": 10**6}, "out-of-range"),
        ("statement", {"period_start": "2026-01-01"}, "wrong-type"),
        ("orders", {"factors": {"a": 1}}, "wrong-type"),
    ],
)
def test_a_bad_column_is_refused(table: str, fields: Row, code: str) -> None:
    assert code_of(with_after(table, **fields), table) == code


@pytest.mark.parametrize("table", sorted(DECODERS))
def test_every_column_that_is_not_nullable_is_needed(table: str) -> None:
    decoder = DECODERS[table]
    for column in decoder.table.columns:
        lacking = {name: value for name, value in row_of(table).items() if name != column.name}
        value = orjson.dumps({**GOOD, "after": lacking})
        if column.nullable:
            change = decoder.decode(value, 0, 0)
            assert isinstance(change, Change)
            assert change.row is not None
            assert change.row[decoder.table.place(column.name)] is None
        else:
            assert code_of(value, table) == "missing-field"


def test_times_are_read_as_text_or_microseconds() -> None:
    spelled = decoded(None, row_of("billing_item", created_at="2023-11-14T23:13:20+01:00"), "c")
    assert spelled.row == decoded(None, ITEM, "c").row


def test_moves_tell_what_an_update_did() -> None:
    after = {**ITEM, "amount": "9.00", "status": "paid", "source_no": "2"}
    assert decoded(ITEM, after, "u").moves == (("amount", 800, 900), ("status", "statemented", "paid"))


def test_the_same_amount_in_other_digits_is_no_move() -> None:
    assert decoded({**ITEM, "amount": "8.0"}, ITEM, "u").moves == ()


def test_the_same_digits_in_another_currency_are_a_move() -> None:
    moves = decoded(ITEM, {**ITEM, "currency": "JPY"}, "u").moves
    assert moves == (("amount", 800, 8), ("currency", "USD", "JPY"))


def test_a_before_image_of_the_key_alone_tells_no_moves() -> None:
    assert decoded({"billing_item_id": 1}, ITEM, "u").moves == ()
    assert decoded({**dict.fromkeys(ITEM), "billing_item_id": 1}, ITEM, "u").moves == ()
    assert decoded(None, ITEM, "u").moves == ()


def test_an_unchanged_value_that_was_not_sent_is_taken_from_the_before_image() -> None:
    before = row_of("orders", factors='{"a": 1}')
    change = decoded(before, {**before, "factors": UNAVAILABLE, "status": "refunded"}, "u", "orders")
    assert change.row is not None
    assert change.row[6] == '{"a": 1}'
    assert change.moves == (("status", "completed", "refunded"),)
