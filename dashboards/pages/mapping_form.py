"""Corrections as fields of a form and of an address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlencode

from cdc.mapping import KINDS, Drop, Rename, Replace, SetValue, Step, decode_mapping, encode_mapping, scalar_of, text_of

BLANK_ROWS: Final = 2
"""Rows to fill in, behind those that are filled."""


class Line(NamedTuple):
    """One row of the form: what to do with which field; `old` and `new` as a person types them."""

    do: str = ""
    field: str = ""
    old: str = ""
    new: str = ""


def read_lines(pairs: Iterable[tuple[str, str]]) -> list[Line]:
    """The rows of a form, which sends all its fields by row; rows without a field are left out."""
    columns: dict[str, list[str]] = {name: [] for name in Line._fields}
    for name, text in pairs:
        if name in columns:
            columns[name].append(text)
    return [Line(*row) for row in zip(*columns.values(), strict=False) if row[1].strip()]


def steps_of(lines: Sequence[Line]) -> tuple[Step, ...]:
    """The mapping that the rows say. Errors: ConfigurationError that names the step."""
    made: list[dict[str, object]] = []
    for line in lines:
        values: dict[str, object] = {
            "to": line.new.strip(), "value": scalar_of(line.new), "old": scalar_of(line.old), "new": scalar_of(line.new),
        }  # fmt: skip
        names = KINDS[line.do]._fields if line.do in KINDS else ()
        made.append(
            {"do": line.do, "field": line.field.strip()} | {name: values[name] for name in names if name in values}
        )
    return decode_mapping(made)


def lines_of(steps: Iterable[Step]) -> list[Line]:
    """The rows that say a mapping."""
    names = {kind: name for name, kind in KINDS.items()}
    lines = []
    for step in steps:
        new, old = "", ""
        if isinstance(step, Rename):
            new = step.to
        elif isinstance(step, SetValue):
            new = text_of(step.value)
        elif isinstance(step, Replace):
            old, new = text_of(step.old), text_of(step.new)
        else:
            assert isinstance(step, Drop)
        lines.append(Line(names[type(step)], step.field, old, new))
    return lines


def in_words(steps: Iterable[Step]) -> list[dict[str, str]]:
    """The steps for a page: do, field, and what they carry as text."""
    return [
        {name: held if isinstance(held, str) else text_of(held) for name, held in step.items()}
        for step in encode_mapping(steps)
    ]


def lines_query(lines: Sequence[Line]) -> str:
    """The rows as a part of an address."""
    return urlencode([(name, text) for line in lines for name, text in line._asdict().items()])
