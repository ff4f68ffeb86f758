"""Pages by key: a cursor names the last row of a page, so the next page costs as much as the first, however deep it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from trueup.model.errors import ConfigurationError

Record = dict[str, Any]
CURSOR_CHARS_MAX: Final = 500
PARTS_SEPARATOR: Final = "~"


class Slice(NamedTuple):
    """Rows of one page, and the cursor behind the last one; "" where nothing follows."""

    rows: list[Record]
    next: str


def slice_of(rows: Sequence[Mapping[str, Any]], rows_max: int, keys: Sequence[str]) -> Slice:
    """The first `rows_max` rows; the query asked for one more, so that the end is known.

    `keys` are the columns that the page is sorted by; the last one, an id, may hold any text.
    """
    kept = [dict(row) for row in rows[:rows_max]]
    if len(rows) <= rows_max:
        return Slice(kept, "")
    return Slice(kept, PARTS_SEPARATOR.join(str(kept[-1][key]) for key in keys))


def cursor_parts(cursor: str, count: int) -> list[str]:
    """The values of a cursor. Errors: ConfigurationError when it has not so many."""
    parts = cursor.split(PARTS_SEPARATOR, count - 1)
    if len(parts) != count or len(cursor) > CURSOR_CHARS_MAX or not all(parts):
        raise ConfigurationError(
            f"{cursor[:100]!r} is no cursor", where="after", remedy="go back to the first page of the list"
        )
    return parts


def behind_id(column: str, after: str) -> tuple[str, dict[str, Any]]:
    """The end of a WHERE for ids behind a cursor, numbers in their order, and what it binds; both empty on a first page.

    Errors: ConfigurationError for a cursor that is none.
    """
    if not after:
        return "", {}
    (last_id,) = cursor_parts(after, 1)
    return f"AND (length({column}), {column}) > (length({{last_id:String}}), {{last_id:String}}) ", {"last_id": last_id}
