"""Laws of corrections: they change what they name and nothing else, and the decoder reads the result as it reads the original."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdc.decode import ChangeDecoder
from cdc.mapping import (
    Drop,
    Rename,
    Replace,
    SetValue,
    Step,
    correct,
    decode_mapping,
    encode_mapping,
    scalar_of,
    text_of,
)
from tests.e2e.bad_messages import ORDER, envelope
from trueup.model.change import Change
from trueup.model.errors import ConfigurationError, InvalidRecord
from trueup.model.tables import ORDERS

NAMES = st.sampled_from([*ORDER, "orderId", "extra", "货币"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
STEPS = st.one_of(
    st.builds(Rename, NAMES, NAMES),
    st.builds(SetValue, NAMES, SCALARS),
    st.builds(Replace, NAMES, SCALARS, SCALARS),
    st.builds(Drop, NAMES),
)
MAPPINGS = st.lists(STEPS, max_size=5)
ROWS = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=6)
KEY = b'{"order_id":999000001}'


def message(row: dict[str, Any], before: dict[str, Any] | None = None, **more: Any) -> bytes:
    return json.dumps({**envelope(row, "u", before=before), **more}, ensure_ascii=False).encode()


def tried(call: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """What a call gives, and the error that it ends with."""
    try:
        return call(*arguments), None
    except (InvalidRecord, ConfigurationError) as error:
        return None, error


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), MAPPINGS)
def test_any_bytes_are_corrected_or_refused_with_a_reason(value: bytes, mapping: list[Step]) -> None:
    corrected, error = tried(correct, KEY, value, mapping)
    if error is None:
        assert corrected.value == value or orjson.loads(corrected.value) is not None
    else:
        assert error.code in {"malformed-json", "wrong-type", "mapping-conflict"}
        assert mapping


@given(ROWS, ROWS, MAPPINGS, st.integers(), st.booleans())
def test_nothing_but_the_rows_changes(
    row: dict[str, Any], before: dict[str, Any], mapping: list[Step], number: int, wrapped: bool
) -> None:
    document = orjson.loads(message(row, before)) | {"number": number}
    if wrapped:
        document = {"schema": {"order_id": number}, "payload": document}
    value = json.dumps(document).encode()
    # Numbers beyond 64 bits are refused by the decoder; what a correction leaves alone it must not shorten either.
    made, error = tried(correct, b"no json", value, mapping)
    if error is not None:
        assert error.code == "mapping-conflict"
        return
    corrected = json.loads(made.value)
    if wrapped:
        assert corrected["schema"] == document["schema"]
        corrected, document = corrected["payload"], document["payload"]
    for name in document.keys() - {"before", "after"}:
        assert corrected[name] == document[name]
    named = {part for step in mapping for part in (step.field, getattr(step, "to", step.field))}
    for image in ("before", "after"):
        assert corrected[image].keys() - named == document[image].keys() - named
        assert all(corrected[image][name] == held for name, held in document[image].items() if name not in named)


@given(st.sampled_from(list(ORDER)), st.booleans())
def test_a_renamed_field_that_is_named_back_reads_as_it_was_sent(field: str, has_before: bool) -> None:
    before = {**ORDER, "status": "created"} if has_before else None
    original = message({**ORDER, "status": "paid"}, before)
    renamed = correct(KEY, original, [Rename(field, "other_name")])
    decoder = ChangeDecoder(ORDERS)
    back = correct(renamed.key, renamed.value, [Rename("other_name", field)])
    assert decoder.decode(back.value, 3, 7) == decoder.decode(original, 3, 7)
    assert back.key == KEY
    assert renamed.key_changed == (field == "order_id")
    if field not in {"factors", "completed_at"}:
        with pytest.raises(InvalidRecord, match="missing"):
            decoder.decode(renamed.value, 3, 7)


@given(MAPPINGS)
def test_a_mapping_survives_its_encoding(mapping: list[Step]) -> None:
    document = json.loads(json.dumps(encode_mapping(mapping)))
    assert decode_mapping(document) == tuple(mapping)


@given(
    st.recursive(SCALARS | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=8)
    | st.lists(
        st.fixed_dictionaries({"do": st.sampled_from(["rename", "set", "other", 1]), "field": SCALARS, "to": SCALARS})
    )
)
def test_any_document_is_a_mapping_or_is_refused_in_words(document: Any) -> None:
    mapping, error = tried(decode_mapping, document)
    if error is None:
        assert encode_mapping(mapping) == document
    else:
        assert error.where.startswith("mapping")
        assert error.remedy


@given(SCALARS)
def test_a_value_survives_being_typed(value: str | int | bool | None) -> None:
    assume(not (type(value) is int and abs(value) > 10**4000))
    typed = scalar_of(text_of(value))
    assert typed == value
    assert type(typed) is type(value)


@given(ROWS, st.sampled_from(["status", "currency"]), SCALARS, SCALARS)
def test_a_value_is_replaced_only_where_it_is_the_same_in_json(
    row: dict[str, Any], field: str, old: Any, new: Any
) -> None:
    corrected = json.loads(correct(KEY, message(row), [Replace(field, old, new)]).value)["after"]
    if field not in row:
        assert field not in corrected
    elif json.dumps(row[field]) == json.dumps(old):
        assert json.dumps(corrected[field]) == json.dumps(new)
    else:
        assert json.dumps(corrected[field]) == json.dumps(row[field])


def test_a_field_is_not_renamed_over_another_one() -> None:
    with pytest.raises(InvalidRecord, match="the row has such a field") as caught:
        correct(KEY, message(ORDER), [Rename("shop_id", "order_id")])
    assert caught.value.code == "mapping-conflict"


def test_a_key_goes_with_its_field_and_keeps_what_is_dropped() -> None:
    key = b'{"orderId":7}'
    row = {name: held for name, held in ORDER.items() if name != "order_id"} | {"orderId": 7}
    corrected = correct(key, message(row), [Rename("orderId", "order_id"), Drop("factors")])
    assert corrected.key == b'{"order_id":7}'
    assert corrected.key_changed
    assert correct(KEY, message(ORDER), [Drop("order_id")]).key == KEY


def with_schema(row: dict[str, Any]) -> bytes:
    """A message of a connector that writes times in milliseconds, and says so in its schema."""
    names = [{"field": name, "type": "string"} for name in row if name != "updated_at"]
    described = [*names, {"field": "updated_at", "type": "int64", "name": "io.debezium.time.Timestamp"}]
    schema = {
        "type": "struct",
        "fields": [{"field": image, "type": "struct", "fields": described} for image in ("before", "after")],
    }
    return orjson.dumps({"schema": schema, "payload": envelope(row)})


def test_a_schema_goes_with_the_names_of_the_fields() -> None:
    decoder = ChangeDecoder(ORDERS)
    plain = decoder.decode(with_schema({**ORDER, "updated_at": 1_760_000_000_000}), 3, 7)
    sent = with_schema({**ORDER, "updated_at": 1_760_000_000_000}).replace(b'"updated_at"', b'"changed"')
    corrected = correct(KEY, sent, [Rename("changed", "updated_at")])
    assert decoder.decode(corrected.value, 3, 7) == plain
    # A value that a person sets is written plainly, whatever the schema said of the field.
    given = correct(KEY, sent, [Drop("changed"), SetValue("updated_at", "2025-10-09T08:53:20Z")])
    assert decoder.decode(given.value, 3, 7) == plain
    assert plain is not None


def test_a_flattened_message_is_the_row_itself() -> None:
    added = {"__op": "c", "__source_name": "settlement", "__source_lsn": 1, "__source_ts_us": 1_760_000_000_000_000}
    sent = orjson.dumps({**{name: held for name, held in ORDER.items() if name != "shop_id"}, "shopId": 7, **added})
    corrected = correct(KEY, sent, [Rename("shopId", "shop_id")])
    change = ChangeDecoder(ORDERS).decode(corrected.value, 3, 7)
    assert isinstance(change, Change)
    assert change.row is not None
    assert change.row[ORDERS.place("shop_id")] == 7
    with pytest.raises(InvalidRecord, match="says what the change is"):
        correct(KEY, sent, [SetValue("__op", "d")])
