"""What differs between the connectors that write Debezium's envelope, brought to the one form the decoder reads. Pure.

The one form is what `cdc/values.py` writes: amounts as decimal text, times in µs since the epoch or ISO text with a zone,
dates in days since the epoch. An embedded schema says of each field how it is written; without one, the settings say it.

Sources: Debezium 3 connectors for PostgreSQL, MySQL and MariaDB (`decimal.handling.mode`, `time.precision.mode`,
`ExtractNewRecordState`), Kafka Connect's JsonConverter, TiCDC's Debezium format.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from trueup.model.errors import InvalidRecord
from trueup.model.tables import Table

Rewrite = Callable[[Any], Any]
Unit = Literal["ms", "us", "ns"]

SCHEMAS_KEPT_MAX: Final = 64
"""Schemas of one topic that are remembered: a table is rarely altered more often than that within a retention."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_SCALE_MAX: Final = 38
_FLOAT_EXACT_LIMIT: Final = 2**53
"""From here on a binary float does not hold every whole number."""

_BYTES_MAX: Final = 32
"""Bytes of an unscaled decimal: 256 bits hold more digits than any amount may have."""


class Dialect(NamedTuple):
    """How the rows of one topic are written: the fields that are not in the one form, and what brings them there."""

    rewrites: tuple[tuple[str, Rewrite], ...] = ()

    def apply(self, image: dict[str, Any]) -> dict[str, Any]:
        """The image in the one form. Errors: InvalidRecord wrong-type for a value that is not what the dialect says."""
        if not self.rewrites:
            return image
        changed = {
            name: rewrite(image[name])
            for name, rewrite in self.rewrites
            if image.get(name) is not None and image[name] != UNAVAILABLE
        }
        return {**image, **changed}


UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What Debezium puts in the place of an unchanged TOAST value; the before-image has the value itself."""

PLAIN: Final = Dialect()
"""Everything is in the one form already."""


def declared_dialect(table: Table, decimal_scale: int | None, timestamp_unit: Unit) -> Dialect:
    """The dialect of messages without a schema, as the settings declare it.

    `decimal_scale` is the digits behind the point of amounts that come as base64 of their unscaled value
    (`decimal.handling.mode=precise`); None where amounts come as text.
    """
    rewrites: list[tuple[str, Rewrite]] = []
    for column in table.columns:
        if column.kind == "money" and decimal_scale is not None:
            rewrites.append((column.name, _unscaled(decimal_scale)))
        elif column.kind == "time" and timestamp_unit != "us":
            rewrites.append((column.name, _FROM_UNIT[timestamp_unit]))
    return Dialect(tuple(rewrites))


def dialect_of_schema(schema: object, table: Table) -> Dialect:
    """The dialect that a message's own schema describes; fields that the table does not have are left out.

    Errors: InvalidRecord float-amount for an amount that the connector sends as a binary float.
    """
    rewrites: list[tuple[str, Rewrite]] = []
    kinds = {column.name: column.kind for column in table.columns}
    for field in _row_fields(schema):
        name = field.get("field")
        if name not in kinds:
            continue
        if kinds[name] == "money" and field.get("type") in {"double", "float"}:
            raise InvalidRecord("float-amount", f"{table.name}.{name} {FLOAT_AMOUNT}")
        rewrite = _rewrite_of(field)
        if rewrite is not None:
            rewrites.append((name, rewrite))
    return Dialect(tuple(rewrites))


FLOAT_AMOUNT: Final = (
    "comes as a binary float, which is not exact: set decimal.handling.mode to string or precise, "
    "and decimal.format of the converter to BASE64"
)


def schema_text(value: bytes) -> bytes:
    """What tells a message's schema from others: the part before its payload, or the rest from where the schema begins.

    A schema holds no field of the name `schema`, so the last one of a message begins it.
    """
    before = value[: value.find(b'"payload":')]
    return before if b'"schema":' in before else value[value.rfind(b'"schema":') :]


def _row_fields(schema: object) -> list[dict[str, Any]]:
    """The fields of the row: those of the image inside an envelope, or of the message itself when it was flattened."""
    fields = schema.get("fields") if type(schema) is dict else None
    if type(fields) is not list:
        return []
    fields = [field for field in fields if type(field) is dict]
    for field in fields:
        if field.get("field") in {"after", "before"} and type(field.get("fields")) is list:
            return [inner for inner in field["fields"] if type(inner) is dict]
    return fields


def _rewrite_of(field: Mapping[str, Any]) -> Rewrite | None:
    name = field.get("name")
    if name == "org.apache.kafka.connect.data.Decimal":
        parameters = field.get("parameters")
        scale = str(parameters.get("scale")) if type(parameters) is dict else ""
        if not re.fullmatch(r"-?\d{1,3}", scale):
            raise InvalidRecord("wrong-type", f"the schema of {field.get('field')!r} has no scale")
        return _unscaled(int(scale))
    return _BY_SCHEMA_NAME.get(name) if type(name) is str else None


def _unscaled(scale: int) -> Rewrite:
    """base64 of a two's-complement number, most significant byte first → decimal text with so many digits."""
    if abs(scale) > _SCALE_MAX:
        raise InvalidRecord("out-of-range", f"a scale of {scale} is beyond {_SCALE_MAX}")

    def rewrite(raw: object) -> str:
        if type(raw) is not str:
            raise InvalidRecord("wrong-type", f"{raw!r:.60} is not the base64 text of a decimal")
        try:
            unscaled = base64.b64decode(raw, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRecord("wrong-type", f"{raw!r:.60} is not the base64 text of a decimal") from None
        if not 0 < len(unscaled) <= _BYTES_MAX:
            raise InvalidRecord("wrong-type", f"{raw!r:.60} is {len(unscaled)} bytes, not 1 to {_BYTES_MAX}")
        number = int.from_bytes(unscaled, "big", signed=True)
        # From its digits: arithmetic would round to the context's precision.
        digits = tuple(map(int, str(abs(number))))
        return format(Decimal((int(number < 0), digits, -scale)), "f")

    return rewrite


def exact_dialect(dialect: Dialect, table: Table) -> Dialect:
    """The dialect of a connector that sends decimals as binary floats and writes whole ones without a fraction (TiCDC)."""
    checks = tuple((column.name, _exact) for column in table.columns if column.kind == "money")
    return Dialect(dialect.rewrites + checks)


def _exact(raw: Any) -> Any:
    if type(raw) is float or (type(raw) is int and abs(raw) >= _FLOAT_EXACT_LIMIT):
        raise InvalidRecord("float-amount", f"an amount {FLOAT_AMOUNT}")
    return raw


def _variable_scale(raw: object) -> str:
    if type(raw) is not dict or type(raw.get("scale")) is not int:
        raise InvalidRecord("wrong-type", f"{raw!r:.60} is not a decimal with its scale")
    text: str = _unscaled(raw["scale"])(raw.get("value"))
    return text


def _whole(raw: object) -> int:
    if type(raw) is not int:
        raise InvalidRecord("wrong-type", f"{raw!r:.60} is not a whole number of time units")
    return raw


def _from_milliseconds(raw: object) -> object:
    return raw if type(raw) is str else _whole(raw) * 1_000


def _from_nanoseconds(raw: object) -> object:
    return raw if type(raw) is str else _whole(raw) // 1_000


def from_iso_date(raw: object) -> int:
    """`2026-03-31Z` → days since the epoch."""
    if type(raw) is not str:
        raise InvalidRecord("wrong-type", f"{raw!r:.60} is not a date")
    try:
        return date.fromisoformat(raw.removesuffix("Z")).toordinal() - _EPOCH_DAY
    except ValueError:
        raise InvalidRecord("wrong-type", f"{raw!r:.60} is not a date") from None


_FROM_UNIT: Final[dict[str, Rewrite]] = {"ms": _from_milliseconds, "ns": _from_nanoseconds}

_BY_SCHEMA_NAME: Final[dict[str, Rewrite]] = {
    "io.debezium.data.VariableScaleDecimal": _variable_scale,
    "io.debezium.time.Timestamp": _from_milliseconds,
    "io.debezium.time.NanoTimestamp": _from_nanoseconds,
    "org.apache.kafka.connect.data.Timestamp": _from_milliseconds,
    "io.debezium.time.IsoDate": from_iso_date,
}
"""Semantic types that are not in the one form; MicroTimestamp, ZonedTimestamp, IsoTimestamp and Date are."""
