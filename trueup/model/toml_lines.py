"""Finds the line of a table or key in the text of a TOML file, because `tomllib` tells none. Pure."""

from __future__ import annotations

import re
from typing import Final

Place = tuple[str | int, ...]
"""The way to a value: keys, and the numbers of tables in arrays of tables, such as ("group", 0, "rule", 2, "when")."""

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*=")
_PART: Final = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")


def lines_of(text: str) -> dict[Place, int]:
    """Place → line, counted from 1, of every table header and every key that stands on a line of its own."""
    found: dict[Place, int] = {(): 1}
    counts: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header is not None:
            table = _table_place(_parts(header[2]), header[1] == "[[", counts)
            found.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key is not None:
            place = table
            for part in _parts(key[1]):
                place = (*place, part)
                found.setdefault(place, number)
    return found


def line_of(lines: dict[Place, int], place: Place) -> int:
    """The line of the place, or of the nearest table around it that has one."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _parts(name: str) -> list[str]:
    return [quoted or single or bare for quoted, single, bare in _PART.findall(name)]


def _table_place(parts: list[str], in_array: bool, counts: dict[Place, int]) -> Place:
    """The place of a header, each array on the way at its newest entry; one more entry for a header in `[[ ]]`."""
    place: Place = ()
    for depth, part in enumerate(parts, start=1):
        place = (*place, part)
        if depth == len(parts) and in_array:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place
