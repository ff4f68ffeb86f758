"""Rows and last lines of CSV and fixed-width files, one after the other. Pure but for the lines that are given."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from cdc.files.control import Trailer
from cdc.files.declared import FILE, LINE, EndSection, FileMapping, Place, RawRow
from cdc.files.refusals import Problems
from cdc.files.text_lines import TextLines


def read_csv(lines: TextLines, mapping: FileMapping, problems: Problems) -> Iterator[RawRow | Trailer]:
    """The rows and the last lines of a CSV file. Blank lines hold nothing; every other line is a row, a problem or the end."""
    text = iter(lines)
    list(islice(text, mapping.file.skip_lines))
    dialect = mapping.csv
    records = csv.reader(text, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    width = 0
    pick: itemgetter[Any] | None = None
    places = mapping.places()
    if not dialect.header:
        pick = _picker([_number(place) for place in places])
    end, ended = mapping.end, False
    while True:
        first_line = lines.line + 1
        try:
            fields = next(records, None)
        except csv.Error as error:
            problems.add(first_line, f"the line is not CSV as the mapping says: {error}")
            continue
        if fields is None:
            return
        if not fields:
            continue
        if pick is None:
            width = len(fields)
            pick = _header_picker(fields, places, first_line, problems)
            if pick is None:
                return
            continue
        if end is not None and fields[0] == end.mark:
            ended = True
            yield _csv_trailer(fields, end, first_line, problems)
            continue
        width = width or len(fields)
        if ended or len(fields) != width:
            problems.add(first_line, "there is a row after the end" if ended else _other_width(len(fields), width))
            continue
        if len(fields) < _needed(places):
            problems.add(
                first_line, f"the row has {len(fields)} fields, and the mapping reads number {_needed(places)}"
            )
            continue
        yield RawRow(first_line, list(pick([*fields, ""])))


def read_fixed(lines: TextLines, mapping: FileMapping, problems: Problems) -> Iterator[RawRow | Trailer]:
    """The rows and the last lines of a fixed-width file; padding with blanks is taken off both ends of a value."""
    assert mapping.fixed is not None
    slices = [slice(0, 0) if place in {LINE, FILE} else _slice(place) for place in mapping.places()]
    length = mapping.fixed.length
    end, ended = mapping.end, False
    text = iter(lines)
    list(islice(text, mapping.file.skip_lines))
    for line in text:
        row = line.rstrip("\r\n")
        if not row:
            continue
        if end is not None and row.startswith(end.mark):
            ended = True
            told = [
                None if place is None else row[_slice(place)].strip() for place in (end.count, end.total, end.currency)
            ]
            yield Trailer(lines.line, *told)
        elif ended:
            problems.add(lines.line, "there is a row after the end")
        elif len(row) != length:
            problems.add(lines.line, f"the line has {len(row)} characters instead of {length}")
        else:
            yield RawRow(lines.line, [row[part].strip() for part in slices])


def _other_width(fields: int, width: int) -> str:
    return f"the row has {fields} fields instead of {width}"


def _number(place: Place) -> int:
    """The index of a field; that of the empty one behind the last for what does not stand in the row."""
    return place - 1 if isinstance(place, int) else -1


def _needed(places: Sequence[Place]) -> int:
    return max((place for place in places if isinstance(place, int)), default=0)


def _picker(indexes: Sequence[int]) -> itemgetter[Any]:
    # With one index alone itemgetter gives no tuple.
    return itemgetter(*indexes, -1)


def _header_picker(
    header: Sequence[str], places: Iterable[Place], line: int, problems: Problems
) -> itemgetter[Any] | None:
    """Picks the fields at the places; None, with problems, where the header lacks one."""
    names = [name.strip() for name in header]
    indexes = []
    before = problems.count
    for place in places:
        if isinstance(place, str) and place not in {LINE, FILE}:
            if names.count(place) != 1:
                times = "no field" if place not in names else f"{names.count(place)} fields"
                problems.add(line, f"the header has {times} called {place!r}; it has {', '.join(names)[:200]}")
                continue
            indexes.append(names.index(place))
        else:
            indexes.append(_number(place))
    return _picker(indexes) if problems.count == before else None


def _csv_trailer(fields: Sequence[str], end: EndSection, line: int, problems: Problems) -> Trailer:
    told: list[str | None] = []
    for place in (end.count, end.total, end.currency):
        if isinstance(place, int) and place > len(fields):
            problems.add(line, f"the last line has {len(fields)} fields, and the mapping reads number {place}")
            told.append(None)
        else:
            told.append(fields[place - 1].strip() if isinstance(place, int) else None)
    return Trailer(line, *told)


def _slice(place: Place) -> slice:
    assert isinstance(place, tuple)
    first, characters = place
    return slice(first - 1, first - 1 + characters)
