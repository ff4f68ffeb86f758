"""Writes one export, told by a JSON document on standard input; a process of its own, so that pages stay fast meanwhile.

It says on standard output how far it is, one JSON object a line: `rows` while it works, at last `done`, or `error`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from clickhouse.client import connect, translated_errors
from dashboards.exports.columns import SCHEMA, to_schema
from dashboards.exports.formats import write_rows
from trueup.model.errors import TrueupError
from trueup.settings import ClickHouseSettings

TOLD_SECONDS: Final = 0.25
NICENESS: Final = 10

SETTINGS: Final = {
    # Rows arrive in portions of this size, whatever is sorted or joined behind them.
    "max_block_size": 16_384,
}


def main() -> int:
    """Exit status 1 says that the file is not whole; the last line then tells why."""
    os.nice(NICENESS)
    job = orjson.loads(sys.stdin.buffer.read())
    last_told = 0.0

    def told(rows: int) -> None:
        nonlocal last_told
        if time.monotonic() - last_told > TOLD_SECONDS:
            last_told = time.monotonic()
            _tell({"rows": rows})

    try:
        batches = _batches(ClickHouseSettings(**job["clickhouse"]), job["query"])
        rows = write_rows(Path(job["path"]), job["format"], SCHEMA, batches, told)
    except TrueupError as error:
        _tell({"error": str(error)})
        return 1
    _tell({"done": rows})
    return 0


def _batches(settings: ClickHouseSettings, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of the query. Errors: UnavailableError, also half-way."""
    client = connect(settings)
    try:
        with translated_errors("export"), client.query_arrow_stream(query, settings=SETTINGS) as stream:
            for batch in stream:
                yield to_schema(batch)
    finally:
        client.close()


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
