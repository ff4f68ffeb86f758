"""Values of MySQL and MariaDB in JSON: whatever text a query brings, the message holds exactly that value."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.mysql_columns import MysqlColumn
from cdc.mysql_envelope import Place
from cdc.mysql_values import Odd, fragment_of, from_text
from cdc.position import position_of
from trueup.model.errors import InvalidRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def column(kind: str, size: int = 0, *labels: str) -> MysqlColumn:
    return MysqlColumn("held", kind, True, size, labels)


def told(held: MysqlColumn, text: str | bytes) -> object:
    """What the message holds of a value whose text a query brought."""
    raw = text.encode() if isinstance(text, str) else text
    return orjson.loads(fragment_of(held)(from_text(held, raw)))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**30), max_value=10**30))
def test_decimals_keep_every_digit(amount: Decimal) -> None:
    assert told(column("decimal"), format(amount, "f")) == format(amount, "f")


@given(st.integers(-(2**63), 2**64 - 1))
def test_whole_numbers_are_whole(number: int) -> None:
    assert told(column("int"), str(number)) == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_is_told_by_digits_that_give_the_same_32_bits(number: float) -> None:
    back = told(column("float"), repr(number))
    assert struct.pack("<f", back) == struct.pack("<f", number)


@given(st.datetimes(min_value=datetime.fromisoformat("0001-01-01"), max_value=datetime.fromisoformat("9999-12-31")))
def test_times_without_a_zone_are_microseconds_as_if_utc(moment: datetime) -> None:
    text = moment.isoformat(sep=" ", timespec="microseconds")
    assert told(column("datetime", 6), text) == (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


@given(
    st.datetimes(min_value=datetime.fromisoformat("1970-01-02"), max_value=datetime.fromisoformat("2038-01-01")),
    st.integers(0, 6),
)
def test_times_with_a_zone_have_the_digits_of_their_column(moment: datetime, digits: int) -> None:
    kept = moment.replace(microsecond=moment.microsecond - moment.microsecond % 10 ** (6 - digits))
    text = str(told(column("timestamp", digits), kept.isoformat(sep=" ", timespec="microseconds")))
    assert datetime.fromisoformat(text) == kept.replace(tzinfo=UTC)
    assert len(text) == len("2026-03-31T12:00:00Z") + (digits + 1 if digits else 0)


@given(st.dates())
def test_dates_are_days_since_the_epoch(day: date) -> None:
    assert told(column("date"), day.isoformat()) == (day - date(1970, 1, 1)).days


@given(st.integers(0, 838), st.integers(0, 59), st.integers(0, 59), st.booleans())
def test_spans_are_microseconds_and_may_be_negative(hours: int, minutes: int, seconds: int, negative: bool) -> None:
    text = f"{'-' if negative else ''}{hours:02}:{minutes:02}:{seconds:02}"
    span = (hours * 3600 + minutes * 60 + seconds) * 1_000_000
    assert told(column("time"), text) == (-span if negative else span)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_are_themselves(text: str) -> None:
    assert told(column("text"), text) == text


@given(st.binary(max_size=16), st.integers(0, 20))
def test_bytes_are_base64_and_filled_up_to_the_length_of_the_column(raw: bytes, size: int) -> None:
    assert base64.b64decode(str(told(column("binary", size), raw))) == raw.ljust(size, b"\0")


@given(st.integers(2, 64).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(0, 2**bits - 1))))
def test_bits_are_little_endian_bytes(held: tuple[int, int]) -> None:
    bits, number = held
    raw = number.to_bytes((bits + 7) // 8, "big")
    assert int.from_bytes(base64.b64decode(str(told(column("bit", bits), raw))), "little") == number


@given(st.sets(st.sampled_from(["a", "b", "c", "d"])))
def test_sets_are_told_in_the_order_of_their_column(labels: set[str]) -> None:
    assert told(column("set", 0, "d", "b", "a", "c"), ",".join(labels)) == ",".join(
        label for label in ("d", "b", "a", "c") if label in labels
    )


@pytest.mark.parametrize("kind", ["date", "datetime", "timestamp"])
@pytest.mark.parametrize("text", [b"0000-00-00", b"2026-00-10", b"2026-02-31"])
def test_a_date_that_is_none_is_told_apart_from_a_missing_one(kind: str, text: bytes) -> None:
    assert from_text(column(kind), text) is Odd.ZERO_DATE
    assert from_text(column(kind), None) is None


@pytest.mark.parametrize(
    ("held", "value"),
    [(column("time", 3), timedelta(seconds=-0.5)), (column("inet6"), "::1"), (column("type 99"), b"")],
)
def test_what_cannot_be_told_exactly_is_refused(held: MysqlColumn, value: object) -> None:
    with pytest.raises(InvalidRecord):
        fragment_of(held)(value)


@given(st.integers(1, 99), st.integers(4, 2**32 - 1), st.integers(0, 2**14 - 1))
def test_places_are_ordered_as_the_binlog_is(number: int, pos: int, row: int) -> None:
    place = Place(f"binlog.{number:06}", pos, row)
    assert place.version == position_of({"file": place.file, "pos": pos, "row": row})
    assert place.version < Place(f"binlog.{number + 1:06}", 4).version
