"""Reads the states that a spec is about from ClickHouse, and adds up what it would change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from clickhouse.client import connect
from clickhouse.reader import Reader
from clickhouse.schema import DEFINITIONS
from clickhouse.state_scan import Scanned, count_states, scan_states
from reconcile.spec.legs import DEFAULT_SPEC
from reconcile.spec.load import load_spec
from reconcile.spec.model import Spec
from trueup.checking.impact import Impact, candidates
from trueup.checking.parts import running_settings_of
from trueup.settings import Settings
from trueup.wiring import tolerances_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Tell = Callable[[int, int], None]
"""Told now and then: states done, states in all."""


class SpecImpact(NamedTuple):
    """What one spec would change."""

    spec: Spec
    impact: Impact


def impact_of(data_dir: Path, spec: str | None, limit_months: int | None, tell: Tell) -> list[SpecImpact]:
    """What would change if a spec were in place now.

    Args:
        data_dir: of the running stack; where none runs, the settings say where ClickHouse is.
        spec: a file or the name of a shipped spec, judged under the settings that run; None for all specs of the settings,
            under the tolerances and the charging spec of the settings.
        limit_months: only what is filed under the newest so many months; None for everything.
        tell: told of the progress.

    Errors: SpecError, UnavailableError, ConfigurationError.
    """
    given = running_settings_of(data_dir)
    running = given or Settings()
    judging = running if spec is not None else Settings()
    specs = [load_spec(name) for name in ([spec] if spec is not None else judging.specs)]
    tolerances = tolerances_of(judging)
    since = _first_month(limit_months)
    with closing(connect(running.clickhouse)) as client:
        database = running.clickhouse.database
        marks = _watermarks(Reader(client, database).watermarks())
        work = []
        for one in specs:
            is_settlement = one.name == DEFAULT_SPEC
            for candidate in candidates(one, tolerances, is_settlement=is_settlement):
                scanned = Scanned(DEFINITIONS[candidate.table], since, "" if is_settlement else one.name)
                work.append((one, candidate, scanned))
        total = sum(count_states(client, database, scanned) for _, _, scanned in work)
        done = 0
        impacts = {one.name: Impact() for one in specs}
        for one, candidate, scanned in work:
            batches = scan_states(client, database, scanned, batch_rows=running.streams.rebuild_batch_rows)
            for batch in batches:
                for partition, encoded in batch:
                    watermark_us = marks.get((candidate.stage, partition), 0)
                    impacts[one.name].take(candidate.judge(encoded), watermark_us)
                done += len(batch)
                tell(done, max(total, done))
    return [SpecImpact(one, impacts[one.name]) for one in specs]


def _watermarks(rows: list[dict[str, Any]]) -> dict[tuple[str, int], int]:
    """(stage, partition) → the lowest watermark of its sources, in µs since the epoch."""
    marks: dict[tuple[str, int], int] = {}
    for row in rows:
        key = (row["stage"], row["partition"])
        watermark_us = (row["watermark_at"] - _EPOCH) // _MICROSECOND
        marks[key] = min(marks.get(key, watermark_us), watermark_us)
    return marks


def _first_month(limit_months: int | None) -> date | None:
    if limit_months is None:
        return None
    today = datetime.now(UTC).date()
    months = today.year * 12 + today.month - limit_months
    return date(months // 12, months % 12 + 1, 1)
