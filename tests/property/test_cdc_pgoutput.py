"""Any message of pgoutput, encoded independently by the rules of its documentation, is read back as it was meant."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.pgoutput import (
    POSTGRES_EPOCH_US,
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    Other,
    ProtocolError,
    Relation,
    RelationColumn,
    Truncate,
    Tuple,
    Update,
    Value,
    parse,
)


def int16(number: int) -> bytes:
    return struct.pack(">H", number)


def int32(number: int) -> bytes:
    return struct.pack(">I", number)


def int64(number: int) -> bytes:
    return struct.pack(">Q", number)


def time(time_us: int) -> bytes:
    return struct.pack(">q", time_us - POSTGRES_EPOCH_US)


def string(text: str) -> bytes:
    return text.encode() + b"\0"


def value(content: Value) -> bytes:
    if content is None:
        return b"n"
    return b"t" + int32(len(content)) + content if isinstance(content, bytes) else b"u"


def row(values: Tuple) -> bytes:
    return int16(len(values)) + b"".join(map(value, values))


def encode_change(change: Insert | Update | Delete) -> bytes:
    number = int32(change.relation_id)
    if isinstance(change, Insert):
        return b"I" + number + b"N" + row(change.new)
    before = b"" if change.old is None else (b"K" if change.key_only else b"O") + row(change.old)
    if isinstance(change, Update):
        return b"U" + number + before + b"N" + row(change.new)
    return b"D" + number + before


def encode_relation(relation: Relation) -> bytes:
    shape = b"".join(
        bytes([column.in_identity]) + string(column.name) + int32(column.type_oid) + b"\xff\xff\xff\xff"
        for column in relation.columns
    )
    schema = "" if relation.schema == "pg_catalog" else relation.schema
    head = b"R" + int32(relation.relation_id) + string(schema) + string(relation.table)
    return head + relation.identity.encode() + int16(len(relation.columns)) + shape


OTHERS = {
    "Type": b"Y" + int32(16_400) + string("public") + string("état"),
    "Origin": b"O" + int64(7) + string("elsewhere"),
    "Message": b"M" + b"\x00" + int64(9) + string("prefix") + int32(3) + b"\0\1\2",
}


def encode(message: Message) -> bytes:
    match message:
        case Begin(lsn, commit_us, xid):
            return b"B" + int64(lsn) + time(commit_us) + int32(xid)
        case Commit(lsn, end_lsn, commit_us):
            return b"C" + b"\0" + int64(lsn) + int64(end_lsn) + time(commit_us)
        case Relation():
            return encode_relation(message)
        case Insert() | Update() | Delete():
            return encode_change(message)
        case Truncate(numbers):
            return b"T" + int32(len(numbers)) + b"\x01" + b"".join(map(int32, numbers))
        case Other(kind):
            return OTHERS[kind]


uint32 = st.integers(0, 2**32 - 1)
lsns = st.integers(0, 2**64 - 1)
times = st.integers(POSTGRES_EPOCH_US - 2**62, POSTGRES_EPOCH_US + 2**62)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
rows = st.lists(st.one_of(st.none(), st.binary(max_size=40), st.just(UNCHANGED)), max_size=20).map(tuple)
columns = st.lists(st.builds(RelationColumn, names, uint32, st.booleans()), max_size=12).map(tuple)
messages = st.one_of(
    st.builds(Begin, lsns, times, uint32),
    st.builds(Commit, lsns, lsns, times),
    st.builds(Relation, uint32, names, names, st.sampled_from("dnfi"), columns),
    st.builds(Insert, uint32, rows),
    st.builds(Update, uint32, rows, st.booleans(), rows),
    st.builds(Update, uint32, st.none(), st.just(False), rows),
    st.builds(Delete, uint32, rows, st.booleans()),
    st.builds(Truncate, st.lists(uint32, max_size=6).map(tuple)),
    st.builds(Other, st.sampled_from(["Type", "Origin", "Message"])),
)


@given(messages, st.binary(max_size=30))
def test_every_message_is_read_as_it_was_written(message: Message, header: bytes) -> None:
    assert parse(header + encode(message), len(header)) == message


@given(messages, st.data())
def test_bytes_that_are_cut_off_are_an_error(message: Message, data: st.DataObject) -> None:
    encoded = encode(message)
    with pytest.raises(ProtocolError):
        parse(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(messages, st.binary(min_size=1, max_size=9))
def test_bytes_behind_a_message_are_an_error(message: Message, rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(encode(message) + rest)


@given(st.sampled_from(b"BCRIUDTYOM"), st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_clear_error(kind: int, rest: bytes) -> None:
    try:
        outcome: object = parse(bytes([kind]) + rest)
    except ProtocolError as error:
        outcome = error
    assert isinstance(outcome, Message | ProtocolError)
