"""How routes of the API ask ClickHouse, and what pages of lists have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import HTTPException, Query

from clickhouse.client import RefusedError
from clickhouse.keyset import slice_of
from clickhouse.query import Query as Sql
from clickhouse.query import Record
from dashboards.web.board import Board
from trueup.model.errors import ConfigurationError

ROWS_MAX: Final = 1_000
ID_CHARS_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 1_000

_UNUSABLE: Final = {
    6: "CANNOT_PARSE_TEXT",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    131: "TOO_LARGE_STRING_SIZE",
    407: "DECIMAL_OVERFLOW",
    457: "BAD_QUERY_PARAMETER",
}
"""ClickHouse codes for a bound value that does not fit its type: it came with the request, so the request is wrong."""

Limit = Annotated[int, Query(ge=1, le=ROWS_MAX, description="rows of one page")]
After = Annotated[
    str, Query(max_length=CURSOR_CHARS_MAX, description="cursor `next` of the page before; empty for the first")
]


def text_filter(description: str) -> Any:
    """The declaration of a filter by text."""
    return Query(max_length=ID_CHARS_MAX, description=description)


@contextmanager
def asked() -> Iterator[None]:
    """Tells a value that ClickHouse cannot take as a fault of the request. Errors: ConfigurationError."""
    try:
        yield
    except RefusedError as error:
        if error.code not in _UNUSABLE:
            raise
        raise ConfigurationError("a value of the request is too large, or not what its name needs") from error


def rows_of(board: Board, query: Sql) -> list[Record]:
    """The rows of a query. Errors: UnavailableError, ConfigurationError."""
    with asked():
        return board.cases.rows(query)


def one_of(board: Board, query: Sql, what: str) -> Record:
    """The row of a query that gives at most one. Errors: HTTPException 404."""
    rows = rows_of(board, query)
    if not rows:
        raise not_found(what)
    return rows[0]


def not_found(what: str) -> HTTPException:
    """The error for something that is not there."""
    return HTTPException(404, f"there is no such {what}")


def page_of(
    board: Board, query: Sql, rows_max: int, keys: Sequence[str], shown: Callable[[Record], Any] = dict
) -> dict[str, Any]:
    """`rows` of a query for one row more than a page has, and `next`: the cursor of the page behind, or null."""
    part = slice_of(rows_of(board, query), rows_max, keys)
    return {"rows": [shown(row) for row in part.rows], "next": part.next or None}
