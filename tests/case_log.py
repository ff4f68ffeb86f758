"""Verdicts and commands as they stand in the logs of one partition, made for tests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from reconcile.cases.commands import Command, Seen, encode_command
from reconcile.cases.policy import CasePolicy, MoneyLimits, Urgency
from streams.case_partition import COMMANDS_TOPIC
from streams.replays import Targets
from tests.partition_bench import LogRecord
from tests.source_log import START_US

CASE = "ab" * 16
OTHER = "cd" * 16
TOPIC = "discrepancy.wrong-amount"
TARGETS = Targets({"settlement.public.orders"}, 8)
POLICY = CasePolicy(
    MoneyLimits({"default": "100", "JPY": "5000"}),
    Urgency(
        {"medium": MoneyLimits({"default": "10"}), "high": MoneyLimits({"default": "1000"})},
        {"one-sided": "high", "wrong-amount": "medium", "mismatch": "low"},
        {"low": 168, "medium": 72, "high": 24, "critical": 4},
    ),
)


def verdict_value(discrepancy_id: str = CASE, **fields: Any) -> bytes:
    """The message of a judge: raised once, 8.00 expected, 8.50 found."""
    value = {
        "discrepancy_id": discrepancy_id, "rule": "wrong-billing-amount", "rule_version": 1, "class": "wrong-amount",
        "direction": "", "status": "open", "entity_kind": "order", "entity_id": "7", "order_id": "7",
        "statement_id": "1", "shop_id": "9", "currency": "USD", "expected": "8.00", "actual": "8.50",
        "detail": "billed more", "source_commit_us": START_US, "watermark_us": START_US + 5, "occurrences": 1,
        "detected_us": START_US + 6, "version": [START_US + 5, 1], "evidence": [], "opened_us": START_US + 6,
    }  # fmt: skip
    return orjson.dumps({**value, **fields})


def seen(occurrence: int = 1, actual_minor: int | None = 850, currency: str = "USD") -> Seen:
    """What the default verdict shows."""
    return Seen(occurrence, 800, actual_minor, currency)


def command(number: int, kind: str, revision: int, **fields: Any) -> Command:
    """A command whose id is made from a number."""
    held: dict[str, Any] = {
        "command_id": str(UUID(int=number)), "discrepancy_id": CASE, "kind": kind, "actor": "ann",
        "at_us": START_US + number, "expected_revision": revision, "seen": seen(),
        "note": "a reason" if kind in {"waive", "resolve", "comment"} else "",
        "assignee": "bob" if kind == "assign" else "",
    }  # fmt: skip
    return Command(**{**held, **fields})


class CaseLog:
    """The records of one partition of several topics; offsets grow by topic."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.records: list[LogRecord] = []

    def verdict(self, discrepancy_id: str = CASE, topic: str = TOPIC, **fields: Any) -> LogRecord:
        """A judge's word is in the log."""
        return self.raw(topic, discrepancy_id.encode(), verdict_value(discrepancy_id, **fields))

    def command(self, given: Command) -> LogRecord:
        """A person's command is in the log."""
        return self.raw(COMMANDS_TOPIC, *encode_command(given))

    def raw(self, topic: str, key: bytes | None, value: bytes | None) -> LogRecord:
        """Any message."""
        offset = sum(record.topic == topic for record in self.records)
        record = LogRecord(topic, self.number, offset, value, key, 1_000 + offset)
        self.records.append(record)
        return record
