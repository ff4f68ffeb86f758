"""Builds the report of a day from its queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from clickhouse.query import Query
from dashboards.report.sections import PLANS, SectionPlan, Span
from dashboards.web.language import Language
from trueup.model.errors import ConfigurationError

Row = Mapping[str, Any]


class RowReader(Protocol):
    """What answers the queries: rows by column name, amounts as Decimal, times aware in UTC."""

    @property
    def database(self) -> str:
        """The database that the views are in."""

    def rows(self, query: Query) -> Sequence[Row]:
        """The rows of a query."""


class Section(NamedTuple):
    """A section with its rows, and the query that gave them."""

    plan: SectionPlan
    rows: Sequence[Row]
    query: Query


class Report(NamedTuple):
    """The whole report. `is_over` is False while the day still runs: then it holds what was known at `made_at`."""

    span: Span
    language: Language
    made_at: datetime
    is_over: bool
    sections: tuple[Section, ...]


def build_report(
    reader: RowReader, day: date, zone: str, language: Language, *, made_at: datetime | None = None
) -> Report:
    """Read the day's figures.

    Args:
        reader: answers the queries.
        day: the day to report on.
        zone: IANA name of the zone whose day is meant, such as `Asia/Shanghai`.
        language: what the report is to be written in.
        made_at: when it is made; now by default.

    Errors: ConfigurationError for a zone that does not exist or a day that has not begun, and those of the reader.
    """
    span = span_of(day, zone)
    now = made_at or datetime.now(UTC)
    if span.start > now:
        raise ConfigurationError(f"the day {day} has not begun in {zone}", where="--date", remedy="name an earlier day")
    sections = []
    for plan in PLANS:
        query = plan.query(reader.database, span)
        sections.append(Section(plan, reader.rows(query), query))
    return Report(span, language, now, span.end <= now, tuple(sections))


def span_of(day: date, zone: str) -> Span:
    """The instants of a day in a zone: 23 or 25 hours where the clocks are changed."""
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{zone[:60]!r} is no time zone", where="--zone", remedy="use an IANA name such as Asia/Shanghai"
        ) from error
    try:
        after = day + timedelta(days=1)
    except OverflowError as error:
        raise ConfigurationError(f"there is no day after {day}", where="--date", remedy="name another day") from error
    start, end = (datetime(one.year, one.month, one.day, tzinfo=place).astimezone(UTC) for one in (day, after))
    return Span(day, start, end, zone)
