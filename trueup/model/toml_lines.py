"""Reads TOML so that every fault can be told with its line, which `tomllib` and pydantic do not tell. Pure."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

Place = tuple[str | int, ...]
"""The way to a value: keys, and the numbers of tables in arrays of tables, such as ("group", 0, "rule", 2, "when")."""

_AT_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*=")
_PART: Final = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")


class NoToml(ValueError):
    """The text is not valid TOML: `what` and `remedy` in words, `line` counted from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line
        self.remedy = "see https://toml.io for the format"


def parse_toml(text: str, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document of a text. Errors: NoToml."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        line = int(at[1]) if at else max(1, len(text.splitlines()))
        raise NoToml(f"the file is not valid TOML: {_AT_LINE.sub('', str(error)).strip()}", line) from None


def place_in(document: Any, loc: tuple[int | str, ...]) -> Place:
    """The place of one of pydantic's errors in the document, without the parts added for choices between kinds."""
    place: Place = ()
    value = document
    for part in loc:
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif isinstance(value, dict) and part in value:
            value = value[str(part)]
        else:
            continue
        place = (*place, part)
    return place


def shape_fault(
    document: Mapping[str, Any], fault: Mapping[str, Any], remedy: str, keys: Collection[str] = ()
) -> tuple[Place, str, str]:
    """One of pydantic's errors as its place, what is wrong, and what to do.

    `remedy` says where the right shape is shown, `keys` are the names that may have been meant.
    """
    loc: tuple[int | str, ...] = tuple(fault["loc"])
    place = place_in(document, loc)
    key = next((str(part) for part in reversed(place) if isinstance(part, str)), "the file")
    if fault["type"] == "missing":
        return place, f"`{loc[-1]}` is missing", f"add `{loc[-1]} = …`; {remedy}"
    if fault["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(loc[-1]), keys, n=1)
        return (
            place,
            f"there is no key `{loc[-1]}` here",
            f"did you mean `{close[0]}`?" if close else f"take it out; {remedy}",
        )
    return place, f"`{key}`: {fault['msg'].removeprefix('Value error, ')}", remedy


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
