"""A query's result on its way out: what is kept, what is still to be fetched, and what the engine counted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from trueup.embedded.clickhouse.encodings import ARROW_END, join_arrow
from trueup.embedded.clickhouse.errors import EngineError, from_engine

_SPOOL_READ_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Summary:
    """What the engine counted, as X-ClickHouse-Summary spells it."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0

    def add(self, answer: Any) -> None:
        """Adds the counts of one answer of the engine."""
        self.read_rows += int(answer.storage_rows_read())
        self.read_bytes += int(answer.storage_bytes_read())
        self.written_rows += int(answer.rows_written())
        self.written_bytes += int(answer.bytes_written())

    def header(self) -> str:
        """The header's value: JSON whose numbers are strings."""
        counts = {
            "read_rows": self.read_rows,
            "read_bytes": self.read_bytes,
            "written_rows": self.written_rows,
            "written_bytes": self.written_bytes,
            "total_rows_to_read": 0,
        }
        return json.dumps({name: str(count) for name, count in counts.items()})


@dataclass(slots=True)
class Result:
    """A result. `next_piece` and `close` may be called from any one thread at a time.

    `output_format` is None for a statement that has no result. `kept` holds the first pieces,
    or all of them; what outgrew the memory lies in `spool` instead; `fetch` gets the rest.
    """

    output_format: str | None
    summary: Summary
    kept: deque[bytes] = field(default_factory=deque)
    spool: BinaryIO | None = None
    fetch: Callable[[], bytes | None] | None = None
    release: Callable[[], None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the query has ended and all of its result is here."""
        return self.fetch is None

    def next_piece(self) -> bytes | None:
        """The next bytes of the result; None at its end.

        Raises:
            EngineError: the query failed midway.
        """
        if self.kept:
            return self.kept.popleft()
        if self.spool is not None:
            if piece := self.spool.read(_SPOOL_READ_BYTES):
                return piece
            self.spool.close()
            self.spool = None
        return self.fetch() if self.fetch is not None else None

    def close(self) -> None:
        """Ends the query if it still runs, gives its connection back and drops the spool."""
        self.kept.clear()
        if self.spool is not None:
            self.spool.close()
        release, self.release = self.release, None
        if release is not None:
            release()


class BlockStream:
    """A running query's blocks, joined to one result."""

    def __init__(self, connection: Any, handle: Any, summary: Summary, *, arrow: bool) -> None:
        self._connection = connection
        self._handle = handle
        self._summary = summary
        self._arrow = arrow
        self._begun = False
        self.ended = False

    def fetch(self) -> bytes | None:
        """The next bytes; None at the end.

        Raises:
            EngineError: the query failed.
        """
        if self.ended:
            return None
        try:
            answer = self._connection.streaming_fetch_result(self._handle)
        except RuntimeError as error:
            self.ended = True
            raise from_engine(error) from error
        block = bytes(answer.bytes()) if answer is not None else b""
        if not block:
            self.ended = True
            return ARROW_END if self._arrow and self._begun else None
        self._summary.add(answer)
        first, self._begun = not self._begun, True
        return join_arrow(block, first=first) if self._arrow else block

    def cancel(self) -> None:
        """Stops the query if it still runs."""
        if not self.ended:
            self.ended = True
            with suppress(RuntimeError, EngineError):
                self._connection.streaming_cancel_query(self._handle)
