"""Any value, written as Postgres writes it, becomes JSON that tells it exactly."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cdc.values import fragment_of

BYTEA, INT8, TEXT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, TIMETZ, NUMERIC = 17, 20, 25, 1082, 1083, 1114, 1184, 1266, 1700
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def told(type_oid: int, text: str) -> object:
    return orjson.loads(fragment_of(type_oid)(text.encode()))


def fraction(microsecond: int) -> str:
    """As Postgres writes it: zeros at the end are left out."""
    return f".{microsecond:06d}".rstrip("0").rstrip(".")


offsets = st.integers(-15 * 60 + 1, 15 * 60 - 1)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - the zone is what is drawn


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_no_digit_of_a_number_is_lost(number: Decimal) -> None:
    text = format(number, "f")
    assert told(NUMERIC, text) == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers(number: int) -> None:
    assert told(INT8, str(number)) == number


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_texts(text: str) -> None:
    assert told(TEXT, text) == text


@given(st.binary())
def test_bytes(raw: bytes) -> None:
    value = told(BYTEA, f"\\x{raw.hex()}")
    assert isinstance(value, str)
    assert base64.b64decode(value) == raw


@given(st.dates())
def test_dates(day: date) -> None:
    assert told(DATE, day.isoformat()) == (day - EPOCH.date()).days


@given(moments)
def test_moments(moment: datetime) -> None:
    text = moment.isoformat(" ", "seconds") + fraction(moment.microsecond)
    since = (moment.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
    assert told(TIMESTAMP, text) == since
    zoned = told(TIMESTAMPTZ, text + "+00")
    assert isinstance(zoned, str)
    assert (datetime.fromisoformat(zoned) - EPOCH) // MICROSECOND == since


@given(st.times(), offsets)
def test_times_of_day(clock: time, minutes: int) -> None:
    text = clock.isoformat("seconds") + fraction(clock.microsecond)
    since = (clock.hour * 3600 + clock.minute * 60 + clock.second) * 1_000_000 + clock.microsecond
    assert told(TIME, text) == since
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    zone = f"{sign}{hours:02d}" + (f":{rest:02d}" if rest else "")
    zoned = told(TIMETZ, text + zone)
    assert isinstance(zoned, str)
    moment = datetime.combine(EPOCH, clock, timezone(timedelta(minutes=minutes))).astimezone(UTC)
    assert time.fromisoformat(zoned).replace(tzinfo=None) == moment.time()


@given(st.sampled_from([DATE, TIME, TIMESTAMP, TIMETZ]), st.text(st.characters(codec="utf-8", categories=["L", "P"])))
def test_what_has_no_counterpart_goes_on_as_text(type_oid: int, text: str) -> None:
    assert told(type_oid, text) == text
