"""What connectors write differently reads as the same change: schemas, decimals, times, positions, flattened messages."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import orjson
import pytest

from cdc.decode import ChangeDecoder
from cdc.dialect import SCHEMAS_KEPT_MAX, declared_dialect
from tests.source_log import START_US, envelope, row_of
from trueup.model.change import Change, Truncation
from trueup.model.errors import InvalidRecord
from trueup.model.tables import TABLES

ITEMS = TABLES["billing_item"]
ITEM = row_of("billing_item")
PLAIN = orjson.loads(envelope(None, ITEM, "c", 7, START_US))
DECIMAL = "org.apache.kafka.connect.data.Decimal"


def precise(text: str, scale: int) -> str:
    """An amount as Kafka Connect's Decimal: base64 of the unscaled value in two's complement."""
    number = int(Decimal(text).scaleb(scale))
    return base64.b64encode(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)).decode()


def with_schema(fields: list[dict[str, Any]], row: dict[str, Any], **envelope_parts: Any) -> bytes:
    """A message with the embedded schema that says so much of its fields."""
    struct = {"type": "struct", "fields": fields, "optional": True, "name": "settlement.public.billing_item.Value"}
    schema = {"type": "struct", "fields": [{**struct, "field": "before"}, {**struct, "field": "after"}]}
    return orjson.dumps({"schema": schema, "payload": {**PLAIN, "after": row, **envelope_parts}})


def decode(value: bytes, decoder: ChangeDecoder | None = None) -> Change:
    change = (decoder or ChangeDecoder(ITEMS)).decode(value, 3, 9)
    assert isinstance(change, Change)
    return change


def field_of(change: Change, name: str) -> object:
    assert change.row is not None
    return change.row[ITEMS.place(name)]


def refusal(value: bytes, decoder: ChangeDecoder | None = None) -> InvalidRecord:
    with pytest.raises(InvalidRecord) as refused:
        decode(value, decoder)
    return refused.value


def test_precise_decimals_with_their_schema() -> None:
    amount = {"type": "bytes", "name": DECIMAL, "version": 1, "parameters": {"scale": "4"}, "field": "amount"}
    for text, minor in (("12.5000", 1250), ("-0.0100", -1), ("0", 0), ("99999999999999.9900", 9_999_999_999_999_999)):
        change = decode(with_schema([amount], {**ITEM, "currency": "USD", "amount": precise(text, 4)}))
        assert field_of(change, "amount") == minor


def test_decimals_of_variable_scale() -> None:
    amount = {"type": "struct", "name": "io.debezium.data.VariableScaleDecimal", "field": "amount"}
    value = {"scale": 2, "value": precise("-7.25", 2)}
    assert field_of(decode(with_schema([amount], {**ITEM, "currency": "USD", "amount": value})), "amount") == -725
    for bad in ({"scale": "2", "value": "AQ=="}, {"scale": 99, "value": "AQ=="}, {"value": "AQ=="}, "AQ=="):
        assert refusal(with_schema([amount], {**ITEM, "amount": bad})).code in {"wrong-type", "out-of-range"}


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("io.debezium.time.Timestamp", 1_000),
        ("org.apache.kafka.connect.data.Timestamp", 1_000),
        ("io.debezium.time.MicroTimestamp", 1),
    ],
)
def test_times_in_the_unit_of_their_schema(name: str, factor: int) -> None:
    field = {"type": "int64", "name": name, "field": "created_at"}
    change = decode(with_schema([field], {**ITEM, "created_at": 1_767_225_600_000_000 // factor}))
    assert field_of(change, "created_at") == 1_767_225_600_000_000


def test_nanoseconds_are_cut_to_microseconds() -> None:
    field = {"type": "int64", "name": "io.debezium.time.NanoTimestamp", "field": "created_at"}
    change = decode(with_schema([field], {**ITEM, "created_at": 1_767_225_600_000_000_999}))
    assert field_of(change, "created_at") == 1_767_225_600_000_000


def test_dates_as_text() -> None:
    table = TABLES["statement"]
    row = {**row_of("statement"), "period_start": "2026-01-01Z"}
    schema = {"fields": [{"field": "after", "fields": [{"name": "io.debezium.time.IsoDate", "field": "period_start"}]}]}
    value = orjson.dumps({"schema": schema, "payload": {**PLAIN, "after": row}})
    change = ChangeDecoder(table).decode(value, 0, 0)
    assert isinstance(change, Change)
    assert change.row is not None
    assert change.row[table.place("period_start")] == 20_454


def test_without_a_schema_the_settings_say_how_messages_are_written() -> None:
    decoder = ChangeDecoder(ITEMS, declared_dialect(ITEMS, decimal_scale=4, timestamp_unit="ms"))
    row = {**ITEM, "currency": "USD", "amount": precise("3.10", 4)}
    row |= {"created_at": 1_767_225_600_123, "updated_at": 1_767_225_600_456}
    change = decode(orjson.dumps({**PLAIN, "after": row}), decoder)
    assert (field_of(change, "amount"), field_of(change, "created_at")) == (310, 1_767_225_600_123_000)


def test_moves_are_told_in_the_one_form() -> None:
    decoder = ChangeDecoder(ITEMS, declared_dialect(ITEMS, decimal_scale=2, timestamp_unit="us"))
    before, after = ({**ITEM, "currency": "USD", "amount": precise(text, 2)} for text in ("1.00", "2.50"))
    change = decode(orjson.dumps({**PLAIN, "op": "u", "before": before, "after": after}), decoder)
    assert ("amount", 100, 250) in change.moves


def test_amounts_as_binary_floats_are_refused_with_the_remedy() -> None:
    typed = with_schema([{"type": "double", "field": "amount"}], {**ITEM, "amount": 12.5})
    for value in (typed, orjson.dumps({**PLAIN, "after": {**ITEM, "amount": 12.5}})):
        refused = refusal(value)
        assert refused.code == "float-amount"
        assert "decimal.handling.mode" in refused.what


def test_what_is_no_decimal_is_refused() -> None:
    decoder = ChangeDecoder(ITEMS, declared_dialect(ITEMS, decimal_scale=2, timestamp_unit="us"))
    for raw in (12, "§", "", "A" * 100, ["AQ=="]):
        assert refusal(orjson.dumps({**PLAIN, "after": {**ITEM, "amount": raw}}), decoder).code == "wrong-type"


def test_schemas_are_read_once_and_bounded() -> None:
    decoder = ChangeDecoder(ITEMS)
    for number in range(SCHEMAS_KEPT_MAX + 5):
        decode(with_schema([{"type": "int64", "field": f"other_{number}"}], ITEM), decoder)
        decode(with_schema([{"type": "int64", "field": f"other_{number}"}], ITEM), decoder)
    assert len(decoder._dialects) <= SCHEMAS_KEPT_MAX


def test_a_schema_behind_its_payload_is_not_taken_for_another() -> None:
    decoder = ChangeDecoder(ITEMS)
    found = []
    for name in ("io.debezium.time.Timestamp", "io.debezium.time.MicroTimestamp"):
        row = {**ITEM, "created_at": 1_767_225_600_000}
        message = orjson.loads(with_schema([{"type": "int64", "name": name, "field": "created_at"}], row))
        turned = orjson.dumps({"payload": message["payload"], "schema": message["schema"]})
        found.append(field_of(decode(turned, decoder), "created_at"))
    assert found == [1_767_225_600_000_000, 1_767_225_600_000]


def test_a_tombstone_with_a_schema_says_nothing() -> None:
    assert ChangeDecoder(ITEMS).decode(b'{"schema":null,"payload":null}', 0, 0) is None


def test_a_truncated_table_is_told() -> None:
    whole = {**PLAIN, "op": "t", "before": None, "after": None}
    flat = {"__op": "t", "__source_name": "settlement", "__source_lsn": 7, "__source_ts_us": START_US}
    for message in (whole, {"schema": {"type": "struct"}, "payload": whole}, flat):
        said = ChangeDecoder(ITEMS).decode(orjson.dumps(message), 3, 9)
        assert said == Truncation(ITEMS, "settlement", 7, START_US, 3, 9)


def versions(*sources: dict[str, Any]) -> list[int]:
    base = {"name": "billing", "ts_ms": START_US // 1000}
    return [decode(orjson.dumps({**PLAIN, "source": {**base, **source}})).version for source in sources]


def test_positions_of_mysql_grow_with_the_log() -> None:
    places = [("mysql-bin.000009", 4, 0), ("mysql-bin.000009", 4, 1), ("mysql-bin.000009", 2**32 - 1, 0),
              ("mysql-bin.000010", 4, 0), ("binlog.1000000", 0, 0)]  # fmt: skip
    found = versions(*({"file": file, "pos": pos, "row": row} for file, pos, row in places[:4]))
    assert found == sorted(set(found))
    assert found[-1] < 2**63
    for bad in ({"file": "binlog.1000000", "pos": 4}, {"file": "nothing", "pos": 4}, {"file": "b.1", "pos": None},
                {"file": "b.1", "pos": 2**32}, {"file": "b.1", "pos": 1, "row": 2**14}, {}):  # fmt: skip
        with pytest.raises(InvalidRecord):
            versions(bad)


def test_positions_of_tidb_are_its_commit_timestamps() -> None:
    assert versions({"commit_ts": 453_289_574_842_990_593}, {"commit_ts": 453_289_574_842_990_594}) == [
        453_289_574_842_990_593,
        453_289_574_842_990_594,
    ]


def flattened(op: str, **added: Any) -> bytes:
    position = {"__source_name": "settlement", "__source_lsn": 7, "__source_ts_us": START_US}
    return orjson.dumps({**ITEM, "__op": op, **position, **added})


def test_flattened_messages_read_as_their_envelope() -> None:
    for op in "cur":
        assert decode(flattened(op)).row == decode(envelope(None, ITEM, op, 7, START_US)).row
    assert decode(flattened("c")) == decode(orjson.dumps(PLAIN))


def test_flattened_deletions() -> None:
    for value in (flattened("d", __deleted="true"), flattened("d")):
        change = decode(value)
        assert change.deleted
        assert change.row == decode(orjson.dumps(PLAIN)).row


def test_a_flattened_message_without_position_is_refused() -> None:
    assert refusal(orjson.dumps({**ITEM, "__op": "c", "__source_name": "settlement"})).code == "missing-field"


def test_flags_of_mysql_are_small_numbers() -> None:
    table = next(table for table in TABLES.values() if any(column.kind == "flag" for column in table.columns))
    column = next(column.name for column in table.columns if column.kind == "flag")
    for raw, flag in ((0, False), (1, True), (True, True)):
        value = orjson.dumps({**PLAIN, "after": {**row_of(table.name), column: raw}})
        change = ChangeDecoder(table).decode(value, 0, 0)
        assert isinstance(change, Change)
        assert change.row is not None
        assert change.row[table.place(column)] is flag
