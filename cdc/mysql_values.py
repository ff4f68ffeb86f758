"""Values of MySQL and MariaDB → JSON fragments, typed as Debezium types them. Pure.

Source: Debezium 3 MySQL and MariaDB connectors with `decimal.handling.mode=string`, `time.precision.mode=microseconds`,
`bigint.unsigned.handling.mode=long`. A value is what `pymysqlreplication` reads from the binlog; `from_text` brings the text
of a query's result to the same form.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import orjson

from cdc.mysql_columns import MysqlColumn
from trueup.model.errors import InvalidRecord

Fragment = Callable[[Any], bytes]


class Odd(Enum):
    """What stands in the place of a value: a date that is none such as 0000-00-00, or a column that was not sent."""

    ZERO_DATE = "zero date"
    ABSENT = "absent"


NULL: Final = b"null"
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - DATETIME has no zone, and is counted as if it were UTC
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_FLOAT: Final = struct.Struct("<f")
_FLOAT_DIGITS: Final = (6, 7, 8, 9)
_SRID_BYTES: Final = 4
_YEAR_ZERO: Final = 1900
"""What the binlog's byte 0 is read as; it means the year 0000, since the years begin with 1901."""

_TIME: Final = re.compile(r"(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")


def fragment_of(column: MysqlColumn) -> Fragment:
    """How the values of a column become JSON; NULL and Odd are not its business.

    Errors: InvalidRecord when it is called with what it cannot write exactly.
    """
    made = _BY_TYPE.get(column.type)
    return made(column) if made is not None else _unsupported(column)


def from_text(column: MysqlColumn, raw: bytes | None) -> object:
    """A value of a result in text form, UTF-8, as the binlog would have brought it. A FLOAT must be asked for as DOUBLE."""
    if raw is None:
        return None
    read = _FROM_TEXT.get(column.type)
    return raw.decode() if read is None else read(column, raw)


def _quoted(value: object) -> bytes:
    return orjson.dumps(value)


def _unsupported(column: MysqlColumn) -> Fragment:
    def refuse(value: object) -> bytes:
        del value
        raise InvalidRecord("wrong-type", f"column {column.name} has the type {column.type}, which cannot be read")

    return refuse


def _number(value: int) -> bytes:
    return b"%d" % value


def _decimal(value: Decimal) -> bytes:
    return b'"%b"' % format(value, "f").encode()


def _float(value: float) -> bytes:
    """The shortest digits that give the same 32 bits again."""
    for digits in _FLOAT_DIGITS:
        shorter = orjson.loads(format(value, f".{digits}g"))
        if _FLOAT.pack(shorter) == _FLOAT.pack(value):
            return orjson.dumps(shorter)
    return orjson.dumps(value)


def _days(value: date) -> bytes:
    return b"%d" % (value.toordinal() - _EPOCH_DAY)


def _local_time(value: datetime) -> bytes:
    return b"%d" % ((value - _EPOCH) // _MICROSECOND)


def _zoned(column: MysqlColumn) -> Fragment:
    def write(value: datetime) -> bytes:
        fraction = f".{value.microsecond:06d}"[: column.size + 1] if column.size else ""
        return f'"{value:%Y-%m-%dT%H:%M:%S}{fraction}Z"'.encode()

    return write


def _duration(column: MysqlColumn) -> Fragment:
    def write(value: timedelta) -> bytes:
        if column.size and value < timedelta(0):
            # pymysqlreplication takes the fraction of these for something else.
            raise InvalidRecord("wrong-type", f"column {column.name} is a negative time with a fraction")
        return b"%d" % (value // _MICROSECOND)

    return write


def _year(value: int) -> bytes:
    return b"0" if value == _YEAR_ZERO else b"%d" % value


def _labels(column: MysqlColumn) -> Fragment:
    def write(value: set[str]) -> bytes:
        return orjson.dumps(",".join(label for label in column.labels if label in value))

    return write


def _bits(column: MysqlColumn) -> Fragment:
    size = (column.size + 7) // 8

    def write(value: str) -> bytes:
        number = int(value, 2)
        if column.size == 1:
            return b"true" if number else b"false"
        return b'"%b"' % base64.b64encode(number.to_bytes(size, "little"))

    return write


def _binary(column: MysqlColumn) -> Fragment:
    def write(value: bytes | str) -> bytes:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        # The binlog leaves out the zeros at the end of a BINARY(n).
        return b'"%b"' % base64.b64encode(raw.ljust(column.size, b"\0"))

    return write


def _json(value: object) -> bytes:
    """MariaDB's JSON is a text; MySQL's is read into objects, whose text is written anew."""
    return orjson.dumps(
        value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=_jsonable)
    )


def _jsonable(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _geometry(value: bytes) -> bytes:
    srid = int.from_bytes(value[:_SRID_BYTES], "little")
    return orjson.dumps({"wkb": base64.b64encode(value[_SRID_BYTES:]).decode(), "srid": srid or None})


def _same(fragment: Fragment) -> Callable[[MysqlColumn], Fragment]:
    return lambda _: fragment


_BY_TYPE: Final[dict[str, Callable[[MysqlColumn], Fragment]]] = {
    "int": _same(_number),
    "float": _same(_float),
    "double": _same(orjson.dumps),
    "decimal": _same(_decimal),
    "text": _same(_quoted),
    "enum": _same(_quoted),
    "set": _labels,
    "date": _same(_days),
    "time": _duration,
    "datetime": _same(_local_time),
    "timestamp": _zoned,
    "year": _same(_year),
    "bit": _bits,
    "binary": _binary,
    "json": _same(_json),
    "geometry": _same(_geometry),
}


def _date_from(column: MysqlColumn, raw: bytes) -> object:
    del column
    try:
        return date.fromisoformat(raw.decode())
    except ValueError:
        return Odd.ZERO_DATE


def _moment_from(column: MysqlColumn, raw: bytes) -> object:
    del column
    try:
        return datetime.fromisoformat(raw.decode())
    except ValueError:
        return Odd.ZERO_DATE


def _duration_from(column: MysqlColumn, raw: bytes) -> object:
    found = _TIME.fullmatch(raw.decode())
    if found is None:
        raise InvalidRecord("wrong-type", f"column {column.name} holds {raw!r:.40}, which is no time")
    sign, hours, minutes, seconds, fraction = found.groups()
    microseconds = int((fraction or "").ljust(6, "0"))
    held = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds), microseconds=microseconds)
    return -held if sign else held


_FROM_TEXT: Final[dict[str, Callable[[MysqlColumn, bytes], object]]] = {
    "int": lambda _, raw: int(raw),
    "float": lambda _, raw: orjson.loads(raw) * 1.0,
    "double": lambda _, raw: orjson.loads(raw) * 1.0,
    "decimal": lambda _, raw: Decimal(raw.decode()),
    "set": lambda _, raw: set(raw.decode().split(",")),
    "date": _date_from,
    "time": _duration_from,
    "datetime": _moment_from,
    "timestamp": _moment_from,
    "year": lambda _, raw: int(raw) or _YEAR_ZERO,
    "bit": lambda _, raw: f"{int.from_bytes(raw, 'big'):b}",
    "binary": lambda _, raw: raw,
    "geometry": lambda _, raw: raw,
}
