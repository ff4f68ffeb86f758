"""A query with the values that it binds, and the same query written out for a person to paste elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

Record = dict[str, Any]
"""A row by column name."""

_PLACE: Final = re.compile(r"\{(\w+):([^}]+)\}")
_ARRAY: Final = re.compile(r"Array\((.+)\)")
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", "\b": "\\b", "\f": "\\f"}
)


class Query(NamedTuple):
    """SQL for ClickHouse: `{name:Type}` in the text stands for the value of that name in the parameters."""

    text: str
    parameters: Mapping[str, Any] = {}

    def shown(self) -> str:
        """The text with each value as a literal in its place: run by itself, it gives the same rows."""
        return _PLACE.sub(lambda place: literal(self.parameters[place[1]], place[2].strip()), self.text)


def literal(value: object, kind: str) -> str:
    """A value as SQL, read back as the ClickHouse type `kind`.

    Raises:
        TypeError: a value of a kind that no query binds; a time without its zone is one, and so is a float, because
            binary fractions are not amounts.
    """
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        element = _ARRAY.fullmatch(kind)
        if element is None:
            raise TypeError(f"a list for {kind}")
        # An empty list has no type of its own.
        return f"[{', '.join(literal(each, element[1]) for each in value)}]" if value else f"CAST([] AS {kind})"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _text(value) if kind == "String" else f"CAST({_text(value)} AS {kind})"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("a time without its zone")
        return f"CAST({_text(value.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S.%f'))} AS {kind})"
    if isinstance(value, Decimal):
        return f"CAST('{value:f}' AS {kind})"
    if isinstance(value, date):
        return f"CAST('{value.isoformat()}' AS {kind})"
    raise TypeError(f"{type(value).__name__} for {kind}")


def _text(value: str) -> str:
    return f"'{value.translate(_ESCAPES)}'"
