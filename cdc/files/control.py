"""Control of a file as a whole: what it says it holds against what it holds. Pure; amounts are whole minor units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from cdc.files.cells import AmountReader
from cdc.files.declared import FileMapping
from cdc.files.refusals import Problems
from trueup.model.errors import InvalidRecord
from trueup.model.money import minor_units, to_text


class Given(NamedTuple):
    """What a person was told about the file besides: MD5 in hex, count of rows, currency → total in major units."""

    md5: str = ""
    row_count: int | None = None
    totals: Mapping[str, str] = {}


class Trailer(NamedTuple):
    """One line at the end: texts as they stand there, None for what the mapping does not read."""

    line: int
    row_count: str | None
    total: str | None
    currency: str | None


class Control:
    """Adds up the rows of one file and compares.

    Args:
        mapping: of the file's kind.
        problems: where differences are told.
    """

    def __init__(self, mapping: FileMapping, problems: Problems) -> None:
        self._mapping = mapping
        self.problems = problems
        self.rows: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()

    def add(self, currency: str, amount_minor: int) -> None:
        """One row; rows without amounts are of the currency ""."""
        self.rows[currency] += 1
        self.totals[currency] += amount_minor

    def compare(self, trailers: list[Trailer]) -> None:
        """Tell where the lines at the end say something else than the rows; nothing adds up where a row cannot be read."""
        end = self._mapping.end
        if end is None:
            return
        if not trailers:
            self.problems.add(0, f"the end mark {end.mark!r} is missing: the file was cut, or is of another kind")
            return
        if self.problems.count:
            return
        told: Counter[str] = Counter()
        for trailer in trailers:
            self._compare_one(trailer, told)
        if end.currency is None:
            if len(trailers) > 1:
                self.problems.add(trailers[1].line, "there are two lines with the end mark")
            return
        for currency in sorted(self.rows.keys() - told.keys()):
            self.problems.add(0, f"there are rows in {currency}, and no line at the end tells their total")
        for currency in sorted(currency for currency, times in told.items() if times > 1):
            self.problems.add(0, f"two lines at the end tell the total in {currency}")

    def compare_given(self, given: Given, md5: str) -> None:
        """Tell where the file is not what a person was told."""
        broken = self.problems.count > 0
        if given.md5 and given.md5.lower() != md5:
            self.problems.add(0, f"the MD5 of the file is {md5}, but {given.md5.lower()} was given")
        if broken:
            return
        if given.row_count is not None and given.row_count != self.rows.total():
            self.problems.add(0, f"the file has {self.rows.total()} rows, but {given.row_count} were given")
        for currency, total in given.totals.items():
            self._compare_total(0, currency, minor_units(total, currency), "was given")

    def _compare_one(self, trailer: Trailer, told: Counter[str]) -> None:
        mapping, end = self._mapping, self._mapping.end
        assert end is not None
        one_currency = end.currency is not None
        currency = trailer.currency if trailer.currency is not None else ""
        if not one_currency and mapping.currency_column:
            currency = mapping.columns[mapping.currency_column].value or ""
        told[currency] += 1
        if trailer.row_count is not None:
            held = self.rows[currency] if one_currency else self.rows.total()
            within = f" in {currency}" if one_currency else ""
            if not trailer.row_count.isascii() or not trailer.row_count.isdigit():
                self.problems.add(trailer.line, f"{trailer.row_count!r:.40} is no count of rows")
            elif int(trailer.row_count) != held:
                what = f"the file has {held} rows{within}, but its last line says {int(trailer.row_count)}"
                self.problems.add(trailer.line, what)
        if trailer.total is None:
            return
        digits = mapping.columns[mapping.totalled_column].implied_digits
        try:
            total_minor = minor_units(AmountReader(mapping.numbers, digits)(trailer.total), currency)
        except InvalidRecord as error:
            self.problems.add(trailer.line, f"the total at the end: {error.what}")
            return
        self._compare_total(trailer.line, currency, total_minor, "is what its last line says")

    def _compare_total(self, line: int, currency: str, told_minor: int, by: str) -> None:
        held_minor = self.totals[currency]
        if held_minor != told_minor:
            held, told = to_text(held_minor, currency), to_text(told_minor, currency)
            self.problems.add(line, f"the amounts in {currency} add up to {held}, but {told} {by}")
