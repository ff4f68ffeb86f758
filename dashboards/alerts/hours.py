"""Working hours: whether people work at a moment, and when they next begin. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from dashboards.alerts.declared import DAYS, DeclaredHours

_SECOND_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def next_working_us(hours: DeclaredHours, at_us: int) -> int:
    """The moment itself if people work then, else when they next begin; both µs since the epoch.

    Days, times and holidays are those of the hours' own zone. A time that a change of clocks leaves out counts as the moment
    after it.
    """
    local = (_EPOCH + timedelta(microseconds=at_us)).astimezone(hours.zone)
    working = {DAYS.index(day) for day in hours.days}
    day = local.date()
    while True:
        if day.weekday() in working and day not in hours.holidays:
            if day == local.date() and hours.begins <= local.time() < hours.ends:
                return at_us
            begins_us = int(datetime.combine(day, hours.begins, hours.zone).timestamp()) * _SECOND_US
            if begins_us > at_us:
                return begins_us
        day += timedelta(days=1)
