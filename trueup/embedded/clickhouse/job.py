"""From a request and its body to a job for the engine: where the statement ends and where its rows begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from trueup.embedded.clickhouse.encodings import Body
from trueup.embedded.clickhouse.errors import QUERY_IS_TOO_LARGE, EngineError
from trueup.embedded.clickhouse.request import HttpQuery, read_form, with_form
from trueup.embedded.clickhouse.settings import EndpointLimits, EndpointUser
from trueup.embedded.clickhouse.sql import Kind, Statement, read_statement

# As ClickHouse's max_query_size: what stands before an INSERT's rows must fit.
_HEAD_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an INSERT: those that came with the statement's bytes, then the rest of the body."""

    head: bytes
    body: Body

    def pieces(self) -> Iterator[bytes]:
        """Yields the encoded rows."""
        if self.head:
            yield self.head
        yield from self.body.pieces()


@dataclass(frozen=True, slots=True)
class Job:
    """One statement to run for one user. `text` is the whole statement unless `rows` follow it."""

    asked: HttpQuery
    user: EndpointUser
    settings: Mapping[str, str]
    statement: Statement
    text: bytes
    rows: Rows | None

    @property
    def is_write(self) -> bool:
        """Whether the job may change data, as far as its first word tells."""
        return self.statement.kind is not Kind.READ


def read_form_body(asked: HttpQuery, source: BinaryIO, limits: EndpointLimits) -> HttpQuery:
    """The request with the fields of its multipart form; a request without a form as it is.

    Raises:
        EngineError: for a form that cannot be read.
    """
    if asked.form_content_type is None:
        return asked
    body = Body(source, asked.request_encoding, limits.query_text_bytes_max)
    form = read_form(asked.form_content_type, b"".join(body.pieces()))
    source.seek(0)
    source.truncate()
    return with_form(asked, form)


def read_job(
    asked: HttpQuery, user: EndpointUser, settings: Mapping[str, str], source: BinaryIO, limits: EndpointLimits
) -> Job:
    """The job of a request whose body is in source.

    Raises:
        EngineError: for a statement that is malformed, too long, or not allowed to anyone.
    """
    body = Body(source, "" if asked.form_content_type else asked.request_encoding, limits.body_bytes_max)
    text = asked.text + b"\n" if asked.text else b""
    text += _read_up_to(body, _HEAD_BYTES)
    statement = _read_insert_head(text)
    if statement is None or statement.insert is None or asked.parameters:
        # Bound parameters can stand among the rows, so those rows stay part of the text.
        for piece in body.pieces():
            text += piece
            if len(text) > limits.query_text_bytes_max:
                raise EngineError(QUERY_IS_TOO_LARGE, "The query text is larger than the embedded endpoint takes")
        statement = read_statement(text)
    if statement.insert is None or asked.parameters:
        return Job(asked, user, settings, statement, text, None)
    rows = Rows(text[statement.insert.offset :], body)
    return Job(asked, user, settings, statement, statement.insert.statement, rows)


def _read_up_to(body: Body, size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := body.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read_insert_head(text: bytes) -> Statement | None:
    """The statement, if it is an INSERT with rows; None where the whole text must be read to tell."""
    if b"insert" not in text[:_HEAD_BYTES].lower():
        return None
    try:
        statement = read_statement(text)
    except EngineError:
        return None
    return statement if statement.insert else None
