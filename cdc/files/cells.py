"""Texts of a file → values as Debezium writes them: exact amounts as decimal text, days and µs since the epoch. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cdc.files.declared import FILE, LINE, Column, FileMapping, NumberSection, RawRow, Sign
from trueup.model.errors import InvalidRecord
from trueup.model.money import minor_units

Value = str | int | None
Reader = Callable[[str], Value]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_INT64_LIMIT: Final = 2**63
_YEARS: Final = range(1900, 2300)
_KEPT: Final = 65_536


class AmountReader:
    """Reads amounts as a channel writes them into plain decimal text without leading zeros.

    Args:
        numbers: which characters stand before the fraction and between thousands.
        implied_digits: how many of the last digits are the fraction, where no character says it.
    """

    def __init__(self, numbers: NumberSection, implied_digits: int = 0) -> None:
        between, point = re.escape(numbers.thousands), re.escape(numbers.decimal)
        whole = rf"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+|[0-9]+" if between else "[0-9]+"
        fraction = "" if implied_digits else rf"(?:{point}([0-9]*))?"
        self._pattern = re.compile(rf"([+-]?)({whole}){fraction}(-?)")
        self._thousands = numbers.thousands
        self._implied = implied_digits

    def __call__(self, raw: str) -> str:
        """The amount as `-1234.50`. Errors: InvalidRecord `malformed-amount`."""
        found = self._pattern.fullmatch(raw)
        if found is None or (found[1] and found[found.re.groups]):
            raise InvalidRecord("malformed-amount", f"{raw!r:.60} is no amount as the mapping says they are written")
        whole = found[2].replace(self._thousands, "") if self._thousands else found[2]
        whole = whole.lstrip("0") or "0"
        fraction = "" if self._implied else found[3] or ""
        if self._implied:
            whole = whole.rjust(self._implied + 1, "0")
            whole, fraction = whole[: -self._implied], whole[-self._implied :]
        sign = "-" if "-" in {found[1], found[found.re.groups]} else ""
        return f"{sign}{whole}.{fraction}" if fraction else sign + whole


class Converted(NamedTuple):
    """A row as it is published, and the amount that is added up: in minor units of its currency."""

    row: dict[str, Value]
    currency: str
    amount_minor: int


class RowReader:
    """Reads the rows of one file.

    Args:
        mapping: of the file's kind.
        file_id: of the file.
    """

    def __init__(self, mapping: FileMapping, file_id: str) -> None:
        places = mapping.places()
        self._columns = [
            (
                name,
                None if column.place is None else places.index(column.place),
                column.value,
                column.nullable,
                _reader_of(column, mapping.numbers),
                None if column.sign is None else (places.index(column.sign.place), column.sign),
            )
            for name, column in mapping.columns.items()
        ]
        self._file_place = places.index(FILE) if FILE in places else None
        self._line_place = places.index(LINE) if LINE in places else None
        self._file_id = file_id
        self._currency = mapping.currency_column
        self._amounts = [name for name, column in mapping.columns.items() if column.plain_kind == "money"]
        self._totalled = mapping.totalled_column

    def read(self, raw: RawRow) -> Converted:
        """The row. Errors: InvalidRecord that names the column."""
        values = raw.values
        if self._file_place is not None:
            values[self._file_place] = self._file_id
        if self._line_place is not None:
            values[self._line_place] = str(raw.line)
        row: dict[str, Value] = {}
        name = ""
        try:
            for name, place, fixed, nullable, reader, sign in self._columns:
                text = fixed if place is None else values[place]
                if not text:
                    if not nullable:
                        raise InvalidRecord("missing-field", "it is empty")
                    row[name] = None
                    continue
                value = reader(text)
                row[name] = value if sign is None else _signed(str(value), values[sign[0]], sign[1])
            currency = str(row[self._currency]) if self._currency else ""
            total = 0
            for name in self._amounts:
                amount = row[name]
                minor = 0 if amount is None else minor_units(amount, currency)
                total = minor if name == self._totalled else total
        except InvalidRecord as error:
            raise InvalidRecord(error.code, f"{name}: {error.what}") from None
        return Converted(row, currency, total)


def _reader_of(column: Column, numbers: NumberSection) -> Reader:
    kind = column.plain_kind
    if kind == "money":
        return AmountReader(numbers, column.implied_digits)
    if kind == "date":
        return partial(_days, column.format)
    if kind == "time":
        return partial(_time_us, column.format, column.zone)
    if kind == "int":
        return _whole
    return _currency if kind == "currency" else _text


def _text(raw: str) -> str:
    return raw


def _currency(raw: str) -> str:
    minor_units(0, raw)
    return raw


def _whole(raw: str) -> int:
    if not _WHOLE.fullmatch(raw) or not -_INT64_LIMIT <= int(raw) < _INT64_LIMIT:
        raise InvalidRecord("wrong-type", f"{raw!r:.60} is no whole number of 64 bits")
    return int(raw)


def _moment(layout: str, raw: str) -> datetime:
    try:
        moment = datetime.strptime(raw, layout) if layout else datetime.fromisoformat(raw)  # noqa: DTZ007  # zone follows
    except ValueError:
        expected = f"written as {layout}" if layout else "in ISO 8601"
        raise InvalidRecord("wrong-type", f"{raw!r:.60} is no date or time {expected}") from None
    if moment.year not in _YEARS:
        raise InvalidRecord("out-of-range", f"{raw!r:.60} is outside the years 1900 to 2299")
    return moment


@lru_cache(maxsize=_KEPT)
def _days(layout: str, raw: str) -> int:
    return _moment(layout, raw).date().toordinal() - _EPOCH.toordinal()


@lru_cache(maxsize=_KEPT)
def _time_us(layout: str, zone: str, raw: str) -> int:
    moment = _moment(layout, raw)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return (moment - _EPOCH) // _MICROSECOND


def _signed(amount: str, mark: str, sign: Sign) -> str:
    if amount.startswith("-"):
        raise InvalidRecord("malformed-amount", f"{amount} has a sign of its own beside {mark!r:.20}")
    if mark in sign.negative:
        return f"-{amount}"
    if mark in sign.positive:
        return amount
    raise InvalidRecord("malformed-amount", f"{mark!r:.20} is none of {', '.join([*sign.positive, *sign.negative])}")
