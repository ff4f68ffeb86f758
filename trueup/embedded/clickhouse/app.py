"""The HTTP side: receives requests, lets the runner work in threads, and answers as ClickHouse does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trueup.embedded.clickhouse.access import authenticate, settings_for
from trueup.embedded.clickhouse.answer import answer_error, send_result
from trueup.embedded.clickhouse.engine import Engine
from trueup.embedded.clickhouse.errors import TOO_MANY_BYTES, EngineError
from trueup.embedded.clickhouse.job import Job, read_form_body, read_job
from trueup.embedded.clickhouse.lanes import Lanes
from trueup.embedded.clickhouse.request import HttpQuery, read_request
from trueup.embedded.clickhouse.result import Result
from trueup.embedded.clickhouse.runner import Runner
from trueup.embedded.clickhouse.settings import EndpointSettings, EndpointUser

log = structlog.get_logger()

_T = TypeVar("_T")


class QueryEndpoint:
    """The ASGI application of `/`: one request, one query."""

    def __init__(self, settings: EndpointSettings, engine: Engine, runner: Runner, spool_dir: Path) -> None:
        limits = settings.limits
        self._settings = settings
        self._limits = limits
        self._engine = engine
        self._runner = runner
        self._spool_dir = spool_dir
        self._lanes = Lanes(limits)
        slots = limits.writes_at_once + limits.reads_at_once + limits.analyst_queries_at_once + limits.pages_at_once
        self._query_threads = ThreadPoolExecutor(slots, thread_name_prefix="query")
        self._intake_threads = ThreadPoolExecutor(2, thread_name_prefix="intake")
        self._display_name = socket.gethostname()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; every refusal becomes an answer with ClickHouse's error code."""
        request = Request(scope, receive)
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        head = {
            "X-ClickHouse-Query-Id": query_id.encode("ascii", "replace").decode().replace("\n", " "),
            "X-ClickHouse-Server-Display-Name": self._display_name,
            "X-ClickHouse-Timezone": "UTC",
        }
        try:
            await self._answer(request, send, query_id, head)
        except ClientDisconnect:
            log.info("client left", query_id=query_id)
        except EngineError as error:
            log.info("query refused", query_id=query_id, code=error.code)
            await answer_error(error, head, self._engine.version)(scope, receive, send)

    def close(self) -> None:
        """Stops the queries that have outlived the server's own patience, and ends the threads."""
        self._engine.kill_all()
        self._query_threads.shutdown(wait=True)
        self._intake_threads.shutdown(wait=True)

    async def _answer(self, request: Request, send: Send, query_id: str, head: dict[str, str]) -> None:
        headers, parameters = dict(request.headers), request.query_params.multi_items()
        spool_dir, in_memory_bytes_max = str(self._spool_dir), self._limits.body_memory_bytes
        with tempfile.SpooledTemporaryFile(in_memory_bytes_max, dir=spool_dir) as spooled:
            spool = cast(BinaryIO, spooled)
            try:
                user = authenticate(self._settings.users, headers, dict(parameters))
                asked = read_request(request.method, parameters, headers, query_id, self._limits)
            except EngineError:
                # Read to the end, or a client that is still sending sees a broken connection, not the reason.
                await self._receive_body(request, None)
                raise
            await self._receive_body(request, spool)
            job = await self._in_thread(self._intake_threads, lambda: self._read_job(asked, user, spool))
            async with self._lanes.of(job).slot(), _watch(request) as left:
                result = await self._run(job, left)
                if result is None:
                    return
                try:
                    await send_result(
                        send,
                        result,
                        head,
                        encoding=asked.response_encoding,
                        in_thread=lambda work: self._in_thread(self._query_threads, work),
                        client_left=left.done,
                        stall_seconds_max=self._limits.stall_seconds_max,
                        engine_version=self._engine.version,
                    )
                except TimeoutError:
                    log.warning("client takes no more", query_id=query_id)
                finally:
                    await asyncio.shield(self._in_thread(self._query_threads, result.close))

    def _read_job(self, asked: HttpQuery, user: EndpointUser, spool: BinaryIO) -> Job:
        asked = read_form_body(asked, spool, self._limits)
        return read_job(asked, user, settings_for(user, asked.settings, self._limits), spool, self._limits)

    async def _receive_body(self, request: Request, spool: BinaryIO | None) -> None:
        received_bytes = 0
        async for piece in request.stream():
            received_bytes += len(piece)
            if received_bytes > self._limits.body_bytes_max:
                raise EngineError(TOO_MANY_BYTES, "The body is larger than the embedded endpoint takes")
            if spool is not None:
                spool.write(piece)

    async def _run(self, job: Job, left: asyncio.Future[None]) -> Result | None:
        """The result, or None when the client left before it was there. A write is never cut short."""
        mark = str(uuid.uuid4())
        running = asyncio.ensure_future(self._in_thread(self._query_threads, lambda: self._runner.run(job, mark)))
        waited: set[asyncio.Future[Any]] = {running, left}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        log.info("client left", query_id=job.asked.query_id, is_write=job.is_write)
        if not job.is_write:
            await self._in_thread(self._intake_threads, lambda: self._engine.kill(mark))
        with contextlib.suppress(EngineError):
            result = await running
            await self._in_thread(self._query_threads, result.close)
        return None

    async def _in_thread(self, threads: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


@contextlib.asynccontextmanager
async def _watch(request: Request) -> AsyncIterator[asyncio.Future[None]]:
    """A future that is done once the client has left; the server drops what is sent to it then, silently."""

    async def wait_until_left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    left = asyncio.ensure_future(wait_until_left())
    try:
        yield left
    finally:
        left.cancel()


def build_app(endpoint: QueryEndpoint, engine: Engine) -> Starlette:
    """The routes of ClickHouse's HTTP interface."""

    async def ping(_request: Request) -> Response:
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, engine.is_open):
            return PlainTextResponse("Ok.\n")
        return PlainTextResponse("The engine is closed.\n", status_code=503)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET", "HEAD"]),
            Route("/replicas_status", ping, methods=["GET", "HEAD"]),
            Route("/", endpoint, methods=["GET", "POST"]),
        ]
    )
