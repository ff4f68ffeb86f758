"""What was raised, resolved and left open by accounting period."""

from __future__ import annotations

from datetime import date
from typing import Final

from clickhouse.query import Query

ROWS_MAX: Final = 10_000


def period_status(database: str, first: date, last: date) -> Query:
    """The rows of `v_period_status` from one month to another, both included and given by their first days."""
    return Query(
        "SELECT month, currency, class, raised, resolved_within, open_at_end, raised_amount, resolved_within_amount, "
        f"open_at_end_amount FROM {database}.v_period_status WHERE month BETWEEN {{first:Date32}} AND {{last:Date32}} "
        f"ORDER BY month, currency, class LIMIT {ROWS_MAX}",
        {"first": first, "last": last},
    )
