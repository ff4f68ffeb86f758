"""What a person asks of a running stack: its status, one order's story, one statement's totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cdc.topics import source_topic
from clickhouse.reader import Reader
from trueup.embedded.runtime import RuntimeState
from trueup.kafka_lag import group_lag
from trueup.model.money import shown
from trueup.model.tables import TABLES
from trueup.order_trace import change_events, newest_offsets, verdict_events
from trueup.settings import Settings


def stack_status(settings: Settings, runtime: RuntimeState, reader: Reader) -> dict[str, Any]:
    """Services, lag, watermark, counts by verdict, open discrepancies by rule."""
    counts = reader.counts()
    marks = [row["watermark_at"] for row in reader.watermarks() if row["stage"] in {"orders", "statements", "releases"}]
    opened = Counter(row["rule"] for row in reader.open_discrepancies())
    return {
        "services": [asdict(service) for service in runtime.services],
        "lag_records": group_lag(settings),
        "watermark_lag_seconds": (datetime.now(UTC) - min(marks)).total_seconds() if marks else None,
        "orders": counts["order_wide"],
        "statements": counts["statement_wide"],
        "discrepancies": counts["discrepancy"],
        "quarantine": counts["quarantine"],
        "open_by_rule": dict(opened.most_common()),
    }


def order_timeline(settings: Settings, reader: Reader, order_id: str) -> dict[str, Any] | None:
    """The order's wide row, its legs, and every event about it in time order; None for an unknown order."""
    order = reader.order(order_id)
    if order is None:
        return None
    legs, held = [], reader.order_legs(order_id)
    for table, rows in held.items():
        for row in rows:
            topic = source_topic(row["source"], settings.schema_of(row["source"]), table)
            deleted = " (deleted)" if row["is_deleted"] else ""
            legs.append(
                {
                    "table": table,
                    "key": str(row[TABLES[table].primary_key]),
                    "state": str(row.get("status", "")) + deleted,
                    "amount": shown(row.get("amount", row.get("gross_amount")), row["currency"]),
                    "version": row["version"],
                    "topic": topic,
                    "place": f"{row['kafka_partition']}:{row['kafka_offset']}",
                }
            )
    found = reader.order_discrepancies(order_id)
    steps = reader.events([row["discrepancy_id"] for row in found]) if found else []
    changes = change_events(settings, order_id, order["partition"], newest_offsets(settings, held)).events
    events = [{**event._asdict(), "at": _text(event.at)} for event in (*changes, *verdict_events(steps))]
    events.sort(key=lambda event: event["at"])
    return {"order": order, "legs": legs, "events": events, "discrepancies": found}


def statement_facts(reader: Reader, statement_id: str) -> dict[str, Any] | None:
    """The statement's wide row, its running totals by currency and its discrepancies; None for an unknown one."""
    statement = reader.statement(statement_id)
    if statement is None:
        return None
    totals = list(zip(statement["totals_currency"], statement["totals_count"], statement["totals_amount"], strict=True))
    return {
        "statement": statement,
        "totals": totals,
        "discrepancies": reader.statement_discrepancies(statement_id),
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
