"""What a mapping file declares: how a channel's files are named, written and ended, and what their columns are. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Place = Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | str
"""Where a value stands: the number of a field from 1, (first character from 1, characters) of a fixed width, or a name."""

Format = Literal["csv", "fixed", "mt940", "camt053"]
KINDS: Final = ("text", "int", "money", "currency", "date", "time")
FILES_SCHEMA: Final = "files"
"""Stands where the schema stands in the topics of tables, so that specs name a table of files as `channel.files.table`."""

LINE: Final = "@line"
FILE: Final = "@file"
"""Places that every format has: the number of the row's line, and the id of the file."""

_NAME: Final = r"^[a-z][a-z0-9_-]*$"
Name = Annotated[str, Field(pattern=_NAME)]
Character = Annotated[str, Field(min_length=1, max_length=1)]


def _is_kind(text: str) -> str:
    if text.removesuffix("?") not in KINDS:
        raise ValueError(f"{text!r} is none of {', '.join(KINDS)}, with a ? behind it where a value may be missing")
    return text


def _names_id(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    if "id" not in groups:
        raise ValueError("it has no group `(?P<id>…)`, which tells a corrected file from another one")
    return text


def _splits_lines(encoding: str) -> str:
    try:
        plain = "a\n;".encode(encoding)
    except LookupError:
        raise ValueError(f"{encoding!r} is no encoding that is known") from None
    if plain.removeprefix(b"\xef\xbb\xbf") != b"a\n;":
        raise ValueError(f"{encoding} writes ends of lines in more than one byte; convert the file to utf-8 first")
    return encoding


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sign(_Section):
    """A field beside an amount that says which way it goes."""

    place: Place = Field(alias="from")
    negative: list[str] = Field(min_length=1)
    positive: list[str] = Field(min_length=1)


class Column(_Section):
    """One column of the table: where it stands or the one value it has, and how it is written."""

    place: Place | None = Field(None, alias="from")
    value: str | None = None
    kind: Annotated[str, AfterValidator(_is_kind)] = "text"
    format: str = ""
    zone: str = ""
    sign: Sign | None = None
    implied_digits: int = Field(0, ge=0, le=4)

    @property
    def nullable(self) -> bool:
        """Whether a value may be missing."""
        return self.kind.endswith("?")

    @property
    def plain_kind(self) -> str:
        """The kind without the mark for missing values."""
        return self.kind.removesuffix("?")


class FileSection(_Section):
    """How the files are named and written."""

    name: Annotated[str, AfterValidator(_names_id)]
    encoding: Annotated[str, AfterValidator(_splits_lines)] = "utf-8"
    md5: Literal["beside", "none"] = "none"
    skip_lines: int = Field(0, ge=0, le=1000)


class CsvSection(_Section):
    """The dialect."""

    delimiter: Character = ","
    quote: Character = '"'
    header: bool = True


class FixedSection(_Section):
    """Fixed width."""

    length: int = Field(ge=1, le=100_000)


class NumberSection(_Section):
    """How numbers are written."""

    decimal: Character = "."
    thousands: str = Field("", max_length=1)


class EndSection(_Section):
    """The lines at the end that say what the file holds."""

    mark: str = Field(min_length=1)
    count: Place | None = None
    total: Place | None = None
    currency: Place | None = None
    of: str = ""


class FileMapping(_Section):
    """One kind of file of one channel."""

    channel: Name
    table: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    format: Format
    key: list[str] = Field(min_length=1)
    file: FileSection
    csv: CsvSection = CsvSection()
    fixed: FixedSection | None = None
    numbers: NumberSection = NumberSection()
    end: EndSection | None = None
    columns: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], Column] = Field(min_length=1)

    @property
    def topic(self) -> str:
        """The topic of its rows, which is also what specs call the table."""
        return f"{self.channel}.{FILES_SCHEMA}.{self.table}"

    @property
    def currency_column(self) -> str:
        """The column that says what the amounts are in; "" without one."""
        return next((name for name, column in self.columns.items() if column.plain_kind == "currency"), "")

    @property
    def totalled_column(self) -> str:
        """The amounts that are added up; "" without any."""
        money = [name for name, column in self.columns.items() if column.plain_kind == "money"]
        return self.end.of if self.end is not None and self.end.of else money[0] if money else ""

    def places(self) -> list[Place]:
        """The places of a row that are read, each once."""
        found = [column.place for column in self.columns.values() if column.place is not None]
        found += [column.sign.place for column in self.columns.values() if column.sign is not None]
        return list(dict.fromkeys(found))


class RawRow(NamedTuple):
    """One row as it stands in the file: its line from 1, and the texts at `FileMapping.places`, in that order."""

    line: int
    values: list[str]
