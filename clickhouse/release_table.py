"""The wide table of releases."""

from __future__ import annotations

from typing import Final

from clickhouse.definition import LABEL, MONEY, TIME, ColumnType, Definition
from clickhouse.wide_columns import JUDGED, PLACE, STATE

RELEASE_WIDE: Final = Definition(
    "release_wide",
    "one row per release of a channel's payouts: upstream's count and amount beside ours, and the verdict",
    (
        ColumnType("release_id", "String", "release"),
        *PLACE,
        ColumnType("payment_method", LABEL, "payment channel; empty while the release is unknown"),
        ColumnType("currency", LABEL, "ISO-4217 code of the amounts; empty while unknown"),
        ColumnType("status", LABEL, "status of the release; empty while it is unknown"),
        ColumnType("upstream_count", "Nullable(Int64)", "payouts as upstream counts them"),
        ColumnType("upstream_amount", f"Nullable({MONEY})", "amount as upstream counts it"),
        ColumnType("payout_count", "Int64", "live payouts that name the release, of all channels"),
        ColumnType("payout_amount", MONEY, "sum of those of the release's own channel"),
        *JUDGED,
        ColumnType("last_committed_at", TIME, "newest source commit among the release and its payouts"),
        STATE,
    ),
    key=("partition", "release_id"),
    month="month",
)
