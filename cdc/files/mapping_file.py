"""Reads a mapping from its file: `load_mapping` gives it, or every error in it at once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from cdc.files.camt053 import FIELDS as CAMT053_FIELDS
from cdc.files.declared import FILE, LINE, Column, FileMapping, Place
from cdc.files.mt940_lines import FIELDS as MT940_FIELDS
from cdc.files.refusals import MappingRefused, Problem
from trueup.model.money import EXPONENTS
from trueup.model.toml_lines import NoToml, line_of, lines_of, parse_toml, shape_fault

_REMEDY: Final = "docs/files.md shows a whole mapping"
_NAMED: Final = {"mt940": MT940_FIELDS, "camt053": CAMT053_FIELDS}
_KEY_KINDS: Final = frozenset({"text", "int", "currency", "date"})
_SAMPLE: Final = datetime(2026, 7, 23, 13, 45, 58, 120_000)  # noqa: DTZ001  # only written and read back


def load_mapping(path: Path) -> FileMapping:
    """The mapping in this file. Errors: MappingRefused with every problem."""
    try:
        return read_mapping(path.read_text(encoding="utf-8"), file=str(path))
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(1, f"the mapping cannot be read: {error}", "give a readable TOML file of UTF-8 text")
        raise MappingRefused(str(path), [problem]) from None


def read_mapping(text: str, *, file: str) -> FileMapping:
    """The mapping of a text; `file` is what errors call it. Errors: MappingRefused with every problem."""
    reading = _Reading(text, file)
    mapping = reading.declared()
    reading.check(mapping)
    if reading.problems:
        raise MappingRefused(file, reading.problems)
    return mapping


class _Reading:
    """One reading of one file; problems are collected, so that all are told."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = lines_of(text)
        self.problems: list[Problem] = []

    def report(self, place: tuple[str | int, ...], what: str, remedy: str) -> None:
        """One more problem, at the line of its key."""
        problem = Problem(line_of(self.lines, place), what, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def declared(self) -> FileMapping:
        """What the file declares, of the right shape; MappingRefused if it is not."""
        try:
            document = parse_toml(self.text)
        except NoToml as error:
            raise MappingRefused(self.file, [Problem(error.line, error.what, error.remedy)]) from None
        try:
            return FileMapping.model_validate(document)
        except ValidationError as error:
            for fault in error.errors():
                self.report(*shape_fault(document, fault, _REMEDY))
            raise MappingRefused(self.file, self.problems) from None

    def check(self, mapping: FileMapping) -> None:
        """Report what does not fit together."""
        for name, column in mapping.columns.items():
            self._check_column(mapping, name, column)
        for name in mapping.key:
            held = mapping.columns.get(name)
            if held is None or held.nullable or held.plain_kind not in _KEY_KINDS:
                self.report(
                    ("key",),
                    f"`key`: {name} is no column of the kinds {', '.join(sorted(_KEY_KINDS))} without a ?",
                    f"name one of {', '.join(mapping.columns)}, or add it to the columns",
                )
        self._check_currency(mapping)
        if mapping.format == "fixed" and mapping.fixed is None:
            self.report(("format",), "the length of a line is missing", "add `[fixed]` with `length = …`")
        if mapping.numbers.thousands == mapping.numbers.decimal:
            self.report(("numbers",), "`thousands` and `decimal` are the same character", "they must differ")
        self._check_end(mapping)

    def _check_currency(self, mapping: FileMapping) -> None:
        currencies = [name for name, column in mapping.columns.items() if column.plain_kind == "currency"]
        has_money = any(column.plain_kind == "money" for column in mapping.columns.values())
        if (
            len(currencies) > 1
            or (has_money and not currencies)
            or any(mapping.columns[c].nullable for c in currencies)
        ):
            self.report(
                ("columns",),
                "amounts need one column of the kind currency, without a ?",
                'add one, such as `currency = { from = 4, kind = "currency" }` or `{ value = "EUR", kind = "currency" }`',
            )

    def _check_column(self, mapping: FileMapping, name: str, column: Column) -> None:
        place = ("columns", name)
        if (column.place is None) == (column.value is None):
            self.report(place, f"{name} has neither or both of `from` and `value`", "give one of the two")
        kind = column.plain_kind
        if column.value is not None and kind not in {"text", "currency"}:
            self.report(place, f"{name} is one value of the kind {kind}", "only text and a currency can be given")
        if kind == "currency" and column.value is not None and column.value not in EXPONENTS:
            self.report(place, f"{column.value!r} is no ISO-4217 currency", "write a code such as EUR")
        if (column.sign is not None or column.implied_digits) and kind != "money":
            self.report(place, f"{name} is no amount", "`sign` and `implied_digits` are for the kind money")
        if kind in {"date", "time"}:
            self._check_format(name, column)
        elif column.format or column.zone:
            self.report(place, f"{name} is neither date nor time", "take out `format` and `zone`")
        for where in (column.place, column.sign.place if column.sign is not None else None):
            if where is not None:
                self._check_place(mapping, place, where)

    def _check_format(self, name: str, column: Column) -> None:
        place = ("columns", name)
        if column.format:
            try:
                read = datetime.strptime(_SAMPLE.strftime(column.format), column.format)  # noqa: DTZ007
            except ValueError:
                read = datetime.min  # noqa: DTZ901
            if read.date() != _SAMPLE.date():
                self.report(place, f"{column.format!r} does not tell a whole date", "write one such as '%d.%m.%Y'")
        if column.plain_kind == "time" and "%z" not in column.format and not column.zone:
            self.report(place, f"{name} has no time zone", 'add `zone = "Europe/Berlin"`, or %z to the format')
        if column.zone:
            try:
                ZoneInfo(column.zone)
            except (KeyError, OSError, ValueError):
                self.report(place, f"{column.zone!r} is no time zone", "write a name such as Asia/Shanghai")

    def _check_place(self, mapping: FileMapping, place: tuple[str, ...], where: Place) -> None:
        if where in {LINE, FILE}:
            return
        if mapping.format in _NAMED:
            if where not in _NAMED[mapping.format]:
                names = ", ".join(_NAMED[mapping.format])
                self.report(place, f"{mapping.format} has no field {where!r}", f"its fields are {names}")
        elif mapping.format == "fixed":
            if not isinstance(where, tuple):
                self.report(place, f"{where!r} is no place of a fixed width", "write `from = [first, characters]`")
            elif mapping.fixed is not None and sum(where) - 1 > mapping.fixed.length:
                self.report(place, f"{list(where)} lies beyond the end of the line", "see `length`")
        elif isinstance(where, tuple) or (isinstance(where, str) and not mapping.csv.header):
            self.report(place, f"{where!r} is no field", "write the number of the field, or its name in the header")

    def _check_end(self, mapping: FileMapping) -> None:
        end = mapping.end
        if mapping.format in _NAMED:
            if end is not None:
                self.report(("end",), f"{mapping.format} ends as its standard says", "take out `[end]`")
            return
        if end is None:
            if mapping.file.md5 == "none":
                self.report(
                    ("file",), "nothing tells a whole file from one that was cut",
                    'declare `[end]`, or `md5 = "beside"` if the channel sends one',
                )  # fmt: skip
            return
        for key, where in (("count", end.count), ("total", end.total), ("currency", end.currency)):
            wanted = tuple if mapping.format == "fixed" else int
            if where is not None and not isinstance(where, wanted):
                self.report(
                    ("end", key), f"{where!r} is no place in the last line", "write a number, or [first, characters]"
                )
        totalled = mapping.columns.get(mapping.totalled_column)
        if (end.total is not None or end.of) and (totalled is None or totalled.plain_kind != "money"):
            self.report(("end", "of"), "there is no column of amounts to be added up", "name one in `of`")
        fixed = mapping.columns[mapping.currency_column].value if mapping.currency_column else None
        if end.total is not None and end.currency is None and fixed is None:
            self.report(
                ("end", "total"), "the total is in no currency", "say where its currency stands: `currency = …`"
            )
