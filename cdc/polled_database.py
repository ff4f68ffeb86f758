"""What polling asks of a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from cdc.envelope import TableShape
from cdc.poll_memory import Values
from cdc.source_tables import SourceTable


class Since(NamedTuple):
    """Rows whose time is this or later, µs since the epoch."""

    column: str
    time_us: int


class PolledDatabase(Protocol):
    """A connection. When it breaks, every method raises the driver's error for that."""

    def now_us(self) -> int:
        """The server's clock, µs since the epoch."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """What is read inside is of one moment, which is not before the context was entered."""
        ...

    def shape(self, table: SourceTable) -> TableShape:
        """The columns of the table now."""
        ...

    def newest_us(self, table: SourceTable, column: str) -> int | None:
        """The newest time in a column, µs since the epoch; None where there is none."""
        ...

    def pages(
        self, table: SourceTable, shape: TableShape, since: Since | None, rows_max: int
    ) -> Iterator[list[Values]]:
        """The rows of the table, all or those since a time, page by page; none twice."""
        ...
