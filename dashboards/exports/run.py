"""Runs an export in a process of its own, as a job of the dashboard."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import orjson

from clickhouse.query import Query
from dashboards.exports.formats import Format
from dashboards.web.jobs import Job
from trueup.model.errors import TrueupError
from trueup.settings import ClickHouseSettings

ROWS_MAX: Final = 1_000_000
LOOK_SECONDS: Final = 0.2
"""How soon a cancelled export is noticed."""

STOP_SECONDS: Final = 10.0


def run_export(job: Job, clickhouse: ClickHouseSettings, query: Query, kind: Format) -> bool:
    """Write the rows of the query to the job's file; False when it was cancelled before the file was whole.

    Raises:
        TrueupError: why the file is not whole.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboards.exports"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        # The password travels by the pipe: arguments and environment can be read by others.
        process.stdin.write(_document(job, clickhouse, query, kind))
        process.stdin.close()
        told: dict[str, Any] = {}
        for told in _told(process, job):
            job.done = told.get("done", told.get("rows", job.done))
        if "done" in told:
            job.total = job.done
            return True
        if job.cancelled.is_set():
            return False
        raise TrueupError(told.get("error", "the export ended early"), remedy="try again")
    finally:
        process.kill()
        process.wait(STOP_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _document(job: Job, clickhouse: ClickHouseSettings, query: Query, kind: Format) -> bytes:
    settings = clickhouse.model_dump() | {
        "password": clickhouse.password.get_secret_value(),
        "analyst_password": "",
    }
    return orjson.dumps({"clickhouse": settings, "query": query.shown(), "format": kind, "path": str(job.path)})


def _told(process: subprocess.Popen[bytes], job: Job) -> Iterator[dict[str, Any]]:
    """What the process says, line by line, until it ends or the job is cancelled."""
    assert process.stdout is not None
    held = b""
    while not job.cancelled.is_set():
        if not select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
            continue
        piece = os.read(process.stdout.fileno(), 65_536)
        if not piece:
            return
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            yield orjson.loads(line)
