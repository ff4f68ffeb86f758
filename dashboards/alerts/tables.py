"""The tables of alerts in the small database: how far the topics were read, what was told where, and what is to be sent."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from dashboards.store import METADATA

_ROW_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself for INTEGER alone."""

OFFSETS: Final = Table(
    "alert_offset",
    METADATA,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
"""Written with what followed from the messages before it, in one transaction."""

CASES: Final = Table(
    "alert_case",
    METADATA,
    Column("discrepancy_id", String(32), primary_key=True),
    Column("occurrence", BigInteger, nullable=False),
    Column("version_major", BigInteger, nullable=False),
    Column("version_minor", BigInteger, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("notice", Text, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index("alert_case_over", "is_open", "updated_us"),
)
"""The newest verdict of each discrepancy that some route takes."""

TOLD: Final = Table(
    "alert_told",
    METADATA,
    Column("discrepancy_id", String(32), primary_key=True),
    Column("occurrence", BigInteger, primary_key=True),
    Column("channel", String(40), primary_key=True),
    Column("route", String(40), nullable=False),
    Column("reminders", Integer, nullable=False),
    Column("remind_us", BigInteger, index=True),
    Column("is_over", Boolean, nullable=False),
)
"""Which channel was given which occurrence, and when it is reminded next (NULL: never)."""

OUTBOX: Final = Table(
    "alert_outbox",
    METADATA,
    Column("number", _ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("key", String(120), nullable=False, unique=True),
    Column("channel", String(40), nullable=False),
    Column("route", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("language", String(8), nullable=False),
    Column("discrepancy_id", String(32), nullable=False),
    Column("occurrence", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("ready_us", BigInteger, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest_key", String(120), nullable=False),
    Column("done_us", BigInteger),
    Index("alert_outbox_due", "state", "channel", "next_us"),
    Index("alert_outbox_about", "discrepancy_id", "channel", "state"),
    Index("alert_outbox_recent", "channel", "ready_us"),
)
"""Every message that was decided on. `key` is its idempotency key; `ready_us` is from when on it may be told."""

STORMS: Final = Table(
    "alert_storm",
    METADATA,
    Column("channel", String(40), primary_key=True),
    Column("since_us", BigInteger, nullable=False),
    Column("digest_us", BigInteger, nullable=False),
)
"""The channels that tell digests instead of single alerts, and when the next digest is due."""
