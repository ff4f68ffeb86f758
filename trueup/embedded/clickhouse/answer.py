"""Answers: a result with ClickHouse's headers, an error before it, or an error in the midst of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import Send

from trueup.embedded.clickhouse.encodings import Encoder, encoder
from trueup.embedded.clickhouse.errors import EngineError
from trueup.embedded.clickhouse.result import Result

_CONTENT_TYPES: Final = {
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
}
_WHOLE_BYTES_MAX: Final = 1 << 20
_SENT_BYTES: Final = 1 << 18
"""Sent at a time: what the socket does not take at once is copied, and moved up again with every part of it that goes."""

# Runs work in a thread and awaits it.
InThread = Callable[[Callable[[], bytes | None]], Awaitable[bytes | None]]


def answer_error(error: EngineError, head: Mapping[str, str], engine_version: str) -> Response:
    """The answer to a query that failed before its result began."""
    headers = {**head, "X-ClickHouse-Exception-Code": str(error.code)}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return PlainTextResponse(error.body(engine_version), error.status, headers)


async def send_result(
    send: Send,
    result: Result,
    head: Mapping[str, str],
    *,
    encoding: str | None,
    in_thread: InThread,
    client_left: Callable[[], bool],
    stall_seconds_max: float,
    engine_version: str,
) -> None:
    """Sends a result, fetching it piece by piece as fast as the client takes it.

    A query that fails midway ends the body with ClickHouse's exception block and breaks the
    connection, so that no client takes the beginning for the whole.

    Raises:
        TimeoutError: the client took nothing for `stall_seconds_max`.
    """
    tag = secrets.token_hex(8)
    headers = {**head, "X-ClickHouse-Summary": result.summary.header(), "X-ClickHouse-Exception-Tag": tag}
    if result.output_format is not None:
        headers["X-ClickHouse-Format"] = result.output_format
        content_type = _CONTENT_TYPES.get(result.output_format.lower(), "application/octet-stream")
        headers["Content-Type"] = content_type
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    encode = encoder(encoding)
    if result.is_whole and result.spool is None and sum(map(len, result.kept)) <= _WHOLE_BYTES_MAX:
        body = b"".join(map(encode.encode, result.kept)) + encode.finish()
        await _start(send, {**headers, "Content-Length": str(len(body))})
        await _send(send, body, stall_seconds_max, more=False)
        return
    await _start(send, headers)
    try:
        while (piece := await in_thread(lambda: _next_encoded(result, encode))) is not None:
            if client_left():
                return
            if piece:
                await _send(send, piece, stall_seconds_max, more=True)
    except EngineError as error:
        block = _exception_block(error.body(engine_version), tag)
        await _send(send, encode.encode(block) + encode.finish(), stall_seconds_max, more=True)
        return
    await _send(send, encode.finish(), stall_seconds_max, more=False)


def _next_encoded(result: Result, encode: Encoder) -> bytes | None:
    piece = result.next_piece()
    return None if piece is None else encode.encode(piece)


def _exception_block(text: str, tag: str) -> bytes:
    body = text.encode()
    return b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (tag.encode(), body, len(body), tag.encode())


async def _start(send: Send, headers: Mapping[str, str]) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def _send(send: Send, body: bytes, stall_seconds_max: float, *, more: bool) -> None:
    for at in range(0, len(body) or 1, _SENT_BYTES):
        piece = body[at : at + _SENT_BYTES]
        message = {"type": "http.response.body", "body": piece, "more_body": more or at + _SENT_BYTES < len(body)}
        await asyncio.wait_for(send(message), stall_seconds_max)
