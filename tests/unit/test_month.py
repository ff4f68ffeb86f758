"""The month of a wide row: civil-calendar arithmetic against the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.order_state import month_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000


@given(st.integers(-25_567 * DAY_US, 120_530 * DAY_US - 1).map(lambda time_us: EPOCH + timedelta(microseconds=time_us)))
def test_month_of_a_time_is_its_first_day(moment: datetime) -> None:
    time_us = (moment - EPOCH) // timedelta(microseconds=1)
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert month_of(time_us) == (first - EPOCH).days
