"""Postgres text values → JSON fragments, typed as Debezium types them. Pure.

Source: Debezium 3 PostgreSQL connector with `decimal.handling.mode=string`, `time.precision.mode=adaptive`. The text is
what the output functions of Postgres write with TimeZone=UTC, DateStyle=ISO, bytea_output=hex, client_encoding=UTF8.
A value that has no counterpart in its JSON type (infinity, a year BC) goes on as text: the decoder judges it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

import orjson

Fragment = Callable[[bytes], bytes]
"""Text of a value, as bytes → JSON of the value, as bytes."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
DATES_CACHED_MAX: Final = 4096


def text(raw: bytes) -> bytes:
    """A JSON string. Errors: UnicodeDecodeError when the database's encoding let bytes in that are no UTF-8."""
    if raw.isalnum():
        # ASCII letters and digits, as most codes and states are: nothing to escape.
        return b'"%b"' % raw
    return orjson.dumps(raw.decode())


def _as_is(raw: bytes) -> bytes:
    return raw


def _quoted(raw: bytes) -> bytes:
    return b'"%b"' % raw


def _float(raw: bytes) -> bytes:
    return raw if raw[-1:].isdigit() else b'"%b"' % raw


def _flag(raw: bytes) -> bytes:
    return b"true" if raw == b"t" else b"false"


def _zoned_time(raw: bytes) -> bytes:
    return b'"%bZ"' % raw[:-3].replace(b" ", b"T") if raw.endswith(b"+00") else text(raw)


def _local_time(raw: bytes) -> bytes:
    try:
        moment = datetime.fromisoformat(raw.decode()).replace(tzinfo=UTC)
    except ValueError:
        return text(raw)
    return b"%d" % ((moment - _EPOCH) // _MICROSECOND)


@lru_cache(maxsize=DATES_CACHED_MAX)
def _date(raw: bytes) -> bytes:
    try:
        return b"%d" % (date.fromisoformat(raw.decode()).toordinal() - _EPOCH_DAY)
    except ValueError:
        return text(raw)


def _time_of_day(raw: bytes) -> bytes:
    try:
        clock = time.fromisoformat(raw.decode())
    except ValueError:
        return text(raw)
    seconds = (clock.hour * 60 + clock.minute) * 60 + clock.second
    return b"%d" % (seconds * 1_000_000 + clock.microsecond)


def _zoned_time_of_day(raw: bytes) -> bytes:
    """In UTC, as Debezium's ZonedTime; the day that the shift may cross is lost there too."""
    try:
        clock = time.fromisoformat(raw.decode())
    except ValueError:
        return text(raw)
    offset = clock.utcoffset()
    if offset is None:
        return text(raw)
    shifted = datetime.combine(_EPOCH, clock.replace(tzinfo=None)) + _DAY - offset
    fraction = f".{shifted.microsecond:06d}".rstrip("0").rstrip(".")
    return f'"{shifted:%H:%M:%S}{fraction}Z"'.encode()


def _bytes(raw: bytes) -> bytes:
    if not raw.startswith(b"\\x"):
        return text(raw)
    return b'"%b"' % base64.b64encode(bytes.fromhex(raw[2:].decode()))


_FRAGMENTS: Final[dict[int, Fragment]] = {
    16: _flag,
    17: _bytes,
    20: _as_is,  # bigint
    21: _as_is,  # smallint
    23: _as_is,  # integer
    26: _as_is,  # oid
    700: _float,
    701: _float,
    1082: _date,
    1083: _time_of_day,
    1114: _local_time,
    1184: _zoned_time,
    1266: _zoned_time_of_day,
    1700: _quoted,  # numeric, exact as text
    2950: _quoted,  # uuid
}
"""By the type's OID, which is the same in every Postgres; every other type is text."""


def fragment_of(type_oid: int) -> Fragment:
    """How the values of a type become JSON."""
    return _FRAGMENTS.get(type_oid, text)
