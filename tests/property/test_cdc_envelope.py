"""Rows of any content, put into envelopes, come out of the decoder as they went in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cdc.decode import ChangeDecoder
from cdc.envelope import SourceIdentity, TableEnvelopes, TableShape, processing_stamp, transaction_stamp
from cdc.pgoutput import UNCHANGED
from trueup.model.change import Change
from trueup.model.tables import BILLING_ITEM, ORDERS, STATEMENT, Table

OIDS = {
    "id": 20, "text": 25, "currency": 25, "money": 1700, "time": 1184, "date": 1082, "int": 23, "flag": 16, "json": 3802,
}  # fmt: skip
IDENTITY = SourceIdentity("0.1.0", "settlement", "settlement")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Text = tuple[bytes | None, ...]


def envelopes(table: Table) -> TableEnvelopes:
    columns = tuple((column.name, OIDS[column.kind]) for column in table.columns)
    return TableEnvelopes(IDENTITY, TableShape("public", table.name, columns), (table.topic_key,), (table.primary_key,))


def postgres_time(time_us: int) -> bytes:
    """As Postgres writes it: zeros at the end of the fraction are left out."""
    moment = EPOCH + timedelta(microseconds=time_us)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return (moment.strftime("%Y-%m-%d %H:%M:%S") + fraction + "+00").encode()


ids = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
times = st.integers(-2_000_000_000_000_000, 9_000_000_000_000_000)
cents = st.integers(-(10**20), 10**20)
lsns = st.integers(1, 2**63 - 1)

statements = st.tuples(
    ids, ids, texts, st.dates(date(1900, 1, 1), date(2299, 12, 31)), st.integers(0, 10**6), cents, texts, times
)


@given(statements, lsns, st.integers(0, 9_000_000_000_000_000))
def test_a_statement_survives(drawn: tuple[int, int, str, date, int, int, str, int], lsn: int, commit_us: int) -> None:
    number, shop, cycle, day, count, amount, status, time_us = drawn
    text: Text = (
        b"%d" % number, b"%d" % shop, cycle.encode(), day.isoformat().encode(), day.isoformat().encode(), b"USD",
        b"%d" % count, f"{Decimal(amount).scaleb(-2):.4f}".encode(), status.encode(), None, postgres_time(time_us),
    )  # fmt: skip
    stamp, processing = transaction_stamp(commit_us, 7, None), processing_stamp(commit_us)
    ((key, value),) = envelopes(STATEMENT).insert(text, lsn, stamp, processing)
    assert key == orjson.dumps({"statement_id": number})
    change = ChangeDecoder(STATEMENT).decode(value, 3, 4)
    assert isinstance(change, Change)
    days = (day - date(1970, 1, 1)).days
    assert change.row == (number, shop, cycle, days, days, "USD", count, amount, status, None, time_us)
    assert (change.version, change.commit_us, change.deleted, change.source) == (lsn, commit_us, False, "settlement")


@st.composite
def items(draw: st.DrawFn) -> Text:
    number, order, statement, when = draw(ids), draw(ids), draw(ids), postgres_time(draw(times))
    amount = f"{Decimal(draw(cents)).scaleb(-2):.4f}".encode()
    return (
        b"%d" % number, b"%d" % order, b"7", b"%d" % statement, b"sale", draw(texts).encode(), amount, b"EUR", b"paid",
        when, when,
    )  # fmt: skip


@given(items(), items(), lsns)
def test_an_update_leaves_the_row_as_it_is_now_under_its_key(old: Text, new: Text, lsn: int) -> None:
    """Registers keep the highest version per primary key: whatever moved, the new row alone must be left."""
    events = envelopes(BILLING_ITEM).update(old, new, lsn, transaction_stamp(1, 1, 1), processing_stamp(1))
    decoder = ChangeDecoder(BILLING_ITEM)
    held: dict[object, tuple[int, bytes]] = {}
    for key, value in events:
        change = decoder.decode(value, 0, 0)
        assert isinstance(change, Change)
        assert orjson.dumps({"order_id": change.key}) == key
        assert change.version > held.get(change.primary_key, (0, b""))[0] or change.version == 0
        held[change.primary_key] = (change.version, b"" if change.deleted else value)
    live = [value for _, value in held.values() if value]
    assert [orjson.loads(value)["after"]["billing_item_id"] for value in live] == [int(new[0] or b"")]
    moved = (old[0], old[1]) != (new[0], new[1])
    assert [orjson.loads(value)["op"] for _, value in events] == (["d", "c"] if moved else ["u"])


@given(texts, lsns)
def test_an_unchanged_large_value_is_taken_from_the_row_before(factors: str, lsn: int) -> None:
    row: Text = (
        b"1", b"2", b"USD", b"3.0000", b"0.0000", b"0.0000", orjson.dumps(factors), b"paid", None,
        b"2026-11-20 10:00:00+00",
    )  # fmt: skip
    new = (*row[:6], UNCHANGED, b"completed", *row[8:])
    ((_, value),) = envelopes(ORDERS).update(row, new, lsn, transaction_stamp(1, 1, 1), processing_stamp(1))
    change = ChangeDecoder(ORDERS).decode(value, 0, 0)
    assert isinstance(change, Change)
    assert change.row is not None
    assert change.row[6:8] == (orjson.dumps(factors).decode(), "completed")
    assert change.moves == (("status", "paid", "completed"),)
