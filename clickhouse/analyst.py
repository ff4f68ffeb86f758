"""Queries of people, run as the read-only user: rows up to a bound, or the bytes of a format; mistakes in words.

Amounts are Decimal in major units, times aware datetimes in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError, Error, OperationalError, ProgrammingError
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from clickhouse.client import connect
from clickhouse.query import Query
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError
from trueup.settings import ClickHouseSettings

ANALYST: Final = "analyst"
"""The read-only user of the embedded endpoint; on a server of one's own, whoever has the role of the grants."""

PIECE_BYTES: Final = 1 << 16
WORDS_CHARS_MAX: Final = 400

_JSON: Final = {"output_format_json_quote_decimals": 1, "output_format_json_quote_64bit_integers": 0}
_JSON_ARRAY: Final = {"output_format_json_array_of_rows": 1}
_ANSWER: Final = re.compile(r"Code: (\d+)\. (?:DB::Exception: )*(.*?)(?: \(version .*)?$", re.DOTALL)
_ECHO: Final = re.compile(
    r"^default: |:? \(in query: .*\)|\s+FORMAT Native|\. Expected one of: .*|\.? \([A-Z_]+\)$", re.DOTALL
)
"""What says nothing new: the engine's own user, the query again, all that could follow, the name of the code."""

_REMEDIES: Final = {
    36: "check the arguments of the function",
    47: "trueup sql --describe VIEW lists the columns of a view",
    60: "trueup sql --list names the views",
    62: "check the text before the place that is named; one statement at a time, without FORMAT",
    81: "leave the database out: the views are in the default one",
    159: "read less: a shorter time, fewer rows, or an aggregate",
    164: "leave the setting out; a bound may only be lowered",
    202: "wait a moment: so many queries are running already",
    241: "group by fewer values, or read a shorter time",
    396: "aggregate, filter, or add LIMIT",
    456: "give every parameter of the query: --param name=value",
    457: "give a value that fits the type in the query",
    497: "an analyst reads the views and changes nothing; trueup sql --list names them",
}


class Answer(NamedTuple):
    """The first rows of a result with the names and types of its columns, and how many rows there were in all."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    row_count: int


class AnalystClient:
    """A connection as the analyst; a context manager.

    Errors of every method: ConfigurationError where the query, or who asks, is at fault; UnavailableError where
    ClickHouse is away or breaks off.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        if not settings.analyst_password.get_secret_value():
            raise ConfigurationError(
                "the analyst has no password", where="clickhouse.analyst_password", remedy="set it, or run the stack"
            )
        self._where = f"ClickHouse at {settings.host}:{settings.port}, user {ANALYST}"
        as_analyst = settings.model_copy(
            update={"user": ANALYST, "password": settings.analyst_password, "analyst_password": SecretStr("")}
        )
        self._client = connect(as_analyst)
        self._client.database = self.database = settings.database
        # The driver takes all that is read-only in the profile for fixed; how values are printed may be chosen.
        self._client.valid_transport_settings = {*self._client.valid_transport_settings, *_JSON, *_JSON_ARRAY}

    def __enter__(self) -> AnalystClient:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def query(self, text: str, parameters: Mapping[str, str], rows_max: int) -> Answer:
        """Runs a query; the rows beyond `rows_max` are counted, not kept."""
        with (
            self._told(),
            self._client.query_column_block_stream(text, parameters=dict(parameters)) as blocks,
        ):
            rows: list[tuple[Any, ...]] = []
            row_count = 0
            for columns in blocks:
                found = len(columns[0]) if columns else 0
                kept = min(found, rows_max - len(rows))
                rows.extend(zip(*(column[:kept] for column in columns), strict=True))
                row_count += found
            source = blocks.source
            return Answer(tuple(source.column_names), tuple(kind.name for kind in source.column_types), rows, row_count)

    def rows(self, query: Query) -> list[dict[str, Any]]:
        """The rows of a query of our own, by column name."""
        with self._told():
            found = self._client.query(query.text, parameters=dict(query.parameters))
            return list(found.named_results())

    def pieces(
        self, text: str, parameters: Mapping[str, str], output_format: str, *, is_array: bool = False
    ) -> Iterator[bytes]:
        """Yields the result in a format of ClickHouse; amounts in JSON are texts, so that no reader rounds them.

        `is_array`: the rows of a JSON format as one array.
        """
        settings = {**_JSON, **(_JSON_ARRAY if is_array else {})}
        with self._told():
            stream = self._client.raw_stream(text, parameters=dict(parameters), settings=settings, fmt=output_format)
            with stream as opened:
                while piece := opened.read(PIECE_BYTES):
                    yield piece

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ClickHouseError as error:
            raise self._in_words(error) from error
        except (HTTPError, OSError) as error:
            raise UnavailableError(f"the answer broke off: {error}", where=self._where) from error

    def _in_words(self, error: ClickHouseError) -> TrueupError:
        found = _ANSWER.search(str(error))
        if found is None:
            if isinstance(error, ProgrammingError):
                return ConfigurationError(_short(str(error)), where="the query", remedy=_REMEDIES[456])
            kind = UnavailableError if isinstance(error, OperationalError) else ConfigurationError
            return kind(_short(str(error)), where=self._where)
        code = error.code if isinstance(error, Error) and error.code else int(found[1])
        return ConfigurationError(
            f"{_short(_ECHO.sub('', found[2].strip()))} (code {code})",
            where=self._where,
            remedy=_REMEDIES.get(code, "change the query"),
        )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= WORDS_CHARS_MAX else words[:WORDS_CHARS_MAX] + "…"
