"""Runs one job on the engine, in the thread that calls it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from trueup.embedded.clickhouse.access import refuse_for_analyst
from trueup.embedded.clickhouse.engine import Engine
from trueup.embedded.clickhouse.errors import ACCESS_DENIED, TOO_MANY_ROWS_OR_BYTES, EngineError, from_engine
from trueup.embedded.clickhouse.job import Job
from trueup.embedded.clickhouse.result import BlockStream, Result, Summary
from trueup.embedded.clickhouse.session import Session, Sessions
from trueup.embedded.clickhouse.settings import EndpointLimits
from trueup.embedded.clickhouse.sql import Kind

# Formats whose blocks, one after the other, are the whole result: no head, no tail.
_BLOCKWISE: Final = frozenset(
    {"native", "tabseparated", "tsv", "tabseparatedraw", "tsvraw", "csv", "rowbinary", "null"}
    | {"jsoneachrow", "ndjson", "jsonlines", "jsoncompacteachrow", "jsonstringseachrow"}
)
_ARROW: Final = "arrowstream"
_AS_ARRAY: Final = "output_format_json_array_of_rows"
_NOT_STREAMED: Final = "Streaming query is not supported"


class Lease:
    """A connection for one job: a fresh one, or its session's."""

    def __init__(self, connection: Any, give_back: Callable[[bool], None]) -> None:
        self.connection = connection
        self._give_back: Callable[[bool], None] | None = give_back

    def end(self, *, broken: bool = False) -> None:
        """Gives the connection back, once; a broken one is not used again."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(broken)


class Runner:
    """Runs jobs. Each call uses a connection of its own, so calls from several threads run in parallel."""

    def __init__(self, engine: Engine, sessions: Sessions, limits: EndpointLimits, spool_dir: Path) -> None:
        self._engine = engine
        self._sessions = sessions
        self._limits = limits
        self._spool_dir = spool_dir

    def run(self, job: Job, mark: str) -> Result:
        """Runs the job up to its first result bytes, or to its end.

        Args:
            job: what to run.
            mark: the log_comment by which `Engine.kill` finds the query.

        Raises:
            EngineError: the engine or the user's rights refuse it.
        """
        if job.user.read_only:
            self._judge(job)
        elif not job.user.may_write and job.statement.kind is not Kind.READ:
            raise EngineError(ACCESS_DENIED, f"{job.user.name}: Not enough privileges: this user may only read.")
        streamed = _is_streamed(job)
        bound = {} if streamed else {"max_result_bytes": str(self._limits.whole_result_bytes_max)}
        lease = self._lease(job, {"log_comment": mark, **bound})
        try:
            result = self._run_on(lease, job, streamed=streamed)
        except EngineError:
            lease.end(broken=job.rows is not None)
            raise
        except RuntimeError as error:
            lease.end(broken=job.rows is not None)
            raise from_engine(error) from error
        except BaseException:
            lease.end(broken=True)
            raise
        if result.is_whole:
            lease.end()
        return result

    def _judge(self, job: Job) -> None:
        # First, so that a slip of the pen is told as one, not as a right that is missing.
        normal_text = self._engine.normal_text(job.text)
        if job.statement.kind is not Kind.READ:
            raise EngineError(ACCESS_DENIED, f"{job.user.name}: Not enough privileges: a read-only user may only read.")
        reads_only = self._engine.reads_only(job.text)
        refuse_for_analyst(
            normal_text, job.asked.database, reads_only=reads_only, table_functions=self._engine.table_functions
        )

    def _lease(self, job: Job, own: dict[str, str]) -> Lease:
        asked = job.asked
        may_write = job.user.may_write and not job.user.read_only
        if asked.session is not None and may_write:
            makes_state = job.statement.kind is Kind.SESSION
            session = self._sessions.take(job.user.name, asked.session, job.settings, makes_state=makes_state)
            if session is not None:
                return self._session_lease(session, job, own)
        # A page's query may say how it wants to be run; under 2, reading is still all that it can do.
        reads_only = {} if job.user.may_write else {"readonly": "2"}
        connection = self._engine.connect(
            asked.database, {**own, **job.settings, **reads_only},
            read_only=asked.read_only or job.user.read_only, for_analyst=job.user.read_only,
        )  # fmt: skip
        return Lease(connection, lambda _broken: connection.close())

    def _session_lease(self, session: Session, job: Job, own: dict[str, str]) -> Lease:
        try:
            restore = session.borrow(job.asked.database, {**own, **job.asked.settings})
        except EngineError:
            self._sessions.give_back(session, broken=False)
            raise

        def give_back(broken: bool) -> None:
            try:
                if not broken:
                    restore()
            except RuntimeError:
                broken = True
            self._sessions.give_back(session, broken=broken)

        return Lease(session.connection, give_back)

    def _run_on(self, lease: Lease, job: Job, *, streamed: bool) -> Result:
        if job.rows is not None:
            return _insert(lease.connection, job)
        if streamed:
            try:
                return self._stream(lease, job)
            except RuntimeError as error:
                if _NOT_STREAMED not in str(error):
                    raise
        return _whole(lease.connection, job)

    def _stream(self, lease: Lease, job: Job) -> Result:
        output_format = _output_format(job)
        handle = lease.connection.send_query(job.text, output_format, params=dict(job.asked.parameters))
        result = Result(output_format, Summary())
        arrow = output_format.lower() == _ARROW
        stream = BlockStream(lease.connection, handle, result.summary, arrow=arrow)
        kept_bytes = 0
        try:
            while job.asked.wait_end_of_query or kept_bytes < self._limits.response_buffer_bytes:
                piece = stream.fetch()
                if piece is None:
                    break
                kept_bytes += len(piece)
                self._keep(result, piece, kept_bytes)
        except BaseException:
            stream.cancel()
            result.close()
            raise
        if result.spool is not None:
            result.spool.seek(0)
        if not stream.ended:

            def release() -> None:
                stream.cancel()
                lease.end()

            result.fetch, result.release = stream.fetch, release
        return result

    def _keep(self, result: Result, piece: bytes, kept_bytes: int) -> None:
        """Keeps a piece in memory, or all of them in a file once they outgrow it."""
        if result.spool is None and kept_bytes <= self._limits.result_memory_bytes:
            result.kept.append(piece)
            return
        if kept_bytes > self._limits.result_spool_bytes_max:
            raise EngineError(TOO_MANY_ROWS_OR_BYTES, "The result is larger than the embedded endpoint keeps")
        if result.spool is None:
            result.spool = tempfile.TemporaryFile(dir=self._spool_dir)  # noqa: SIM115 - the result closes it
            result.spool.writelines(result.kept)
            result.kept.clear()
        result.spool.write(piece)


def _output_format(job: Job) -> str:
    return job.statement.output_format or job.asked.default_format


def _is_streamed(job: Job) -> bool:
    name = _output_format(job).lower()
    joins = name in _BLOCKWISE or name == _ARROW
    return job.statement.streams and joins and _AS_ARRAY not in job.settings and _AS_ARRAY.encode() not in job.text


def _insert(connection: Any, job: Job) -> Result:
    assert job.statement.insert is not None, "a job with rows is an INSERT"
    assert job.rows is not None, "only a job with rows is inserted from a stream"
    stream = connection.send_insert(job.text, job.statement.insert.data_format)
    try:
        for piece in job.rows.pieces():
            connection.insert_append(stream, piece)
    except RuntimeError:
        # Only the end of the insert tells the engine's reason; nothing is committed by it any more.
        connection.insert_done(stream)
        raise
    except EngineError:
        connection.insert_cancel(stream)
        raise
    result = Result(None, Summary())
    result.summary.add(connection.insert_done(stream))
    return result


def _whole(connection: Any, job: Job) -> Result:
    output_format = _output_format(job)
    answer = connection.query(job.text, output_format, params=dict(job.asked.parameters))
    body = bytes(answer.bytes())
    result = Result(output_format if body or job.statement.kind is Kind.READ else None, Summary())
    result.summary.add(answer)
    if body:
        result.kept.append(body)
    return result
