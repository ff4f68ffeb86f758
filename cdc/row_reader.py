"""The values of one row, from JSON to what the model holds. Pure; every fault is an `InvalidRecord` that names the column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from cdc.dialect import FLOAT_AMOUNT, from_iso_date
from trueup.model.change import Row
from trueup.model.errors import InvalidRecord
from trueup.model.money import exponent, minor_units
from trueup.model.tables import Column, Id, Table

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
INT64_LIMIT: Final = 2**63
_DAYS_MIN: Final = -25_567
_DAYS_MAX: Final = 120_529
"""1900-01-01 and 2299-12-31, the range of ClickHouse's Date32 and DateTime64."""

_DAY_US: Final = 86_400_000_000
TIME_LIMIT_US: Final = (_DAYS_MAX + 1) * _DAY_US

AMOUNT_MINOR_LIMIT: Final = 10**25
"""Amounts from here on are refused: a billion of those below still add up to what `NUMERIC(38,4)` holds. A sum that does
not fit could never be written, and would keep its partition from going on."""

COMBINATIONS_KEPT_MAX: Final = 64
"""Of the types of a row's values; a table has a handful, one for each set of columns that are null."""

Convert = Callable[[Any, Table, Column], object]
Conversion = tuple[int, Column, Convert | None]
"""The place of a value that is not taken as it is, its column, and how it is converted; None for money."""


class RowReader:
    """Reads rows of one table.

    What has to be converted follows from the types of all values. So the fast way compares the types of a row at once, and
    converts at the places that were found when such a row was first read column by column.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._currency = next((column.name for column in table.columns if column.kind == "currency"), "")
        self._columns = [
            (column.name, _PLAIN.get(column.kind), column, CONVERTERS.get(column.kind)) for column in table.columns
        ]
        names = [column.name for column in table.columns]
        self._values_of = itemgetter(*names) if len(names) > 1 else lambda image: (image[names[0]],)
        self._conversions: dict[tuple[type, ...], list[Conversion]] = {}

    def read(self, image: dict[str, Any]) -> Row:
        """The converted values, in column order.

        Errors: InvalidRecord.
        """
        try:
            values = self._values_of(image)
            conversions = self._conversions[tuple(map(type, values))]
            if not conversions:
                return values
            row = list(values)
            currency = image[self._currency] if self._currency else self.table.fixed_currency
            for place, column, convert in conversions:
                row[place] = (
                    amount_minor(row[place], currency) if convert is None else convert(row[place], self.table, column)
                )
        except (KeyError, InvalidRecord):
            return self._by_columns(image)
        return tuple(row)

    def _by_columns(self, image: dict[str, Any]) -> Row:
        """The same, field by field: of values whose types are new, or to find the one that is wrong."""
        currency = image.get(self._currency) if self._currency else self.table.fixed_currency
        values: list[object] = []
        conversions: list[Conversion] = []
        name = ""
        try:
            for place, (name, plain, column, convert) in enumerate(self._columns):
                raw = image.get(name)
                if type(raw) is plain:
                    values.append(raw)
                    continue
                if raw is None:
                    if not column.nullable:
                        raise InvalidRecord("missing-field", f"{self.table.name}.{name} is missing or null")
                    values.append(None)
                    continue
                if convert is not None:
                    values.append(convert(raw, self.table, column))
                elif type(currency) is str:
                    values.append(amount_minor(raw, currency))
                else:
                    name = self._currency
                    raise InvalidRecord("missing-field", f"{self.table.name}.{name} is missing or no text")
                conversions.append((place, column, convert))
        except InvalidRecord as error:
            place_name = f"{self.table.name}.{name}"
            if type(image.get(name)) is float and self.table.columns[self.table.place(name)].kind == "money":
                raise InvalidRecord("float-amount", f"{place_name} {FLOAT_AMOUNT}") from None
            raise InvalidRecord(
                error.code, error.what if place_name in error.what else f"{place_name}: {error.what}"
            ) from None
        if len(self._conversions) >= COMBINATIONS_KEPT_MAX:
            self._conversions.clear()
        self._conversions[tuple(type(image.get(column.name)) for column in self.table.columns)] = conversions
        return tuple(values)


def amount_minor(raw: object, currency: str) -> int:
    """An amount that can be added up with others. Errors: InvalidRecord."""
    minor = minor_units(raw, currency)
    if not -AMOUNT_MINOR_LIMIT < minor < AMOUNT_MINOR_LIMIT:
        raise InvalidRecord("amount-overflow", f"{raw!r:.60} is too large to be added up")
    return minor


def _id(raw: object, table: Table, column: Column) -> Id:
    if type(raw) is int or (type(raw) is str and raw):
        return raw
    raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} is not an id (a whole number or text)")


def _text(raw: object, table: Table, column: Column) -> str:
    if type(raw) is not str:
        raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} is not text")
    return raw


def _currency(raw: object, table: Table, column: Column) -> str:
    if type(raw) is not str:
        raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} is not a currency code")
    exponent(raw)
    return raw


def _int(raw: object, table: Table, column: Column) -> int:
    if type(raw) is not int or not -INT64_LIMIT <= raw < INT64_LIMIT:
        raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} is not a whole number")
    return raw


def _flag(raw: object, table: Table, column: Column) -> bool:
    if type(raw) is int and raw in {0, 1}:
        # MySQL's BOOLEAN is a TINYINT(1).
        return raw == 1
    if type(raw) is not bool:
        raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} is not true or false")
    return raw


def _json(raw: object, table: Table, column: Column) -> str:
    if type(raw) is not str:
        raise InvalidRecord("wrong-type", f"{table.name}.{column.name} is not JSON text")
    return raw


def _time(raw: object, table: Table, column: Column) -> int:
    """ZonedTimestamp text, or MicroTimestamp as a number, to µs since the epoch."""
    if type(raw) is str:
        try:
            moment = datetime.fromisoformat(raw)
        except ValueError:
            raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} is not a time") from None
        if moment.tzinfo is None:
            raise InvalidRecord("wrong-type", f"{table.name}.{column.name} {raw!r:.60} has no time zone")
        time_us = (moment - _EPOCH) // _MICROSECOND
    else:
        time_us = _int(raw, table, column)
    if not _DAYS_MIN * _DAY_US <= time_us < TIME_LIMIT_US:
        raise InvalidRecord("out-of-range", f"{table.name}.{column.name} {raw!r:.60} is outside the years 1900 to 2299")
    return time_us


def _date(raw: object, table: Table, column: Column) -> int:
    days = from_iso_date(raw) if type(raw) is str and raw.endswith("Z") else _int(raw, table, column)
    if not _DAYS_MIN <= days <= _DAYS_MAX:
        raise InvalidRecord("out-of-range", f"{table.name}.{column.name} {raw!r:.60} is outside the years 1900 to 2299")
    return days


_PLAIN: Final[dict[str, type]] = {"id": int, "text": str, "json": str}
"""By column kind: the JSON type whose values are taken as they are."""

CONVERTERS: Final[dict[str, Convert]] = {
    "id": _id,
    "text": _text,
    "currency": _currency,
    "int": _int,
    "date": _date,
    "flag": _flag,
    "json": _json,
    "time": _time,
}
"""By column kind; money is converted with the currency of its row."""
