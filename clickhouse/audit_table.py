"""The table of the audit log."""

from __future__ import annotations

from typing import Final

from clickhouse.definition import LABEL, TIME, ColumnType, Definition

AUDIT_LOG: Final = Definition(
    "audit_log",
    "every verdict and command in the order of its topic, one hash chain per topic and partition; never changed",
    (
        ColumnType("topic", LABEL, "Kafka topic"),
        ColumnType("partition", "UInt16", "Kafka partition"),
        ColumnType("kafka_offset", "UInt64", "Kafka offset"),
        ColumnType("at", TIME, "when it was judged or decided"),
        ColumnType("discrepancy_id", "String", "discrepancy; empty when the message could not be read"),
        ColumnType("command_id", "String", "command; empty for a verdict"),
        ColumnType(
            "kind", LABEL, "raised, changed, resolved, regressed, the kind of the command, replay, or unreadable"
        ),
        ColumnType("actor", "String", "who gave the command; empty for a verdict"),
        ColumnType("outcome", LABEL, "applied, refused, repeated, quarantined"),
        ColumnType("reason", "String", "why it was not applied"),
        ColumnType("revision", "UInt32", "accepted commands of the discrepancy after this one; 0 for a verdict"),
        ColumnType("note", "String", "note of the command, or the finding in words"),
        ColumnType("body", "String", "bytes of the message value"),
        ColumnType("prev_hash", "String", "hash of the row before it in the chain"),
        ColumnType("hash", "String", "SHA-256 over all other columns"),
    ),
    key=("topic", "partition", "kafka_offset"),
    # The rows of a key are equal: they follow from the log.
    version="",
    searched=("command_id", "discrepancy_id"),
)
