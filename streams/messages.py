"""Messages and rows that say what happened: discrepancies, partial totals, statement totals, quarantine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from reconcile.lifecycle import Case, discrepancy_id, encode_case
from reconcile.settlement import rule_classes, shipped_settlement
from reconcile.spec.legs import DEFAULT_SPEC
from reconcile.statement_view import RunningTotal
from streams.codec import dumps, loads
from streams.statement_state import decode_partial, encode_partial
from trueup.model.errors import InvalidRecord
from trueup.model.money import scaled, to_text
from trueup.model.registers import Partial, PartialVersion
from trueup.model.tables import Id, Statement

PARTIALS_TOPIC: Final = "trueup.statement-partials"
TOTALS_TOPIC: Final = "trueup.statement-totals"
QUARANTINE_TOPIC: Final = "trueup.quarantine"
DISCREPANCY_PREFIX: Final = "discrepancy."
CASE_HEADER: Final = "trueup-case"
OWNER_HEADER: Final = "trueup-owner"
"""Headers of a discrepancy: its case as the state keeps it, and [stage, partition, id of the order or statement]."""


class RuleStamp(NamedTuple):
    """Which rule judged: the spec it stands in, the version of the spec, and the rule's class."""

    spec: str
    version: int
    rule_class: str


class CaseStep(NamedTuple):
    """A case that changed, the order, statement or group it belongs to, and the month that its rows are filed under.

    `stamp` is None for rules that are code.
    """

    case: Case
    owner: Id
    month_days: int
    is_order: bool = True
    stamp: RuleStamp | None = None

    @property
    def judged_by(self) -> RuleStamp:
        """The rule that judged."""
        if self.stamp is not None:
            return self.stamp
        return RuleStamp(DEFAULT_SPEC, shipped_settlement().version, rule_classes()[self.case.finding.rule])

    @property
    def identifier(self) -> str:
        """The id of the discrepancy. The owner is part of it: a row may come to another order, statement or group, and what
        is wrong with it there is not what was wrong before.
        """
        return discrepancy_id(self.case.key, self.owner)

    @property
    def order_id(self) -> Id:
        """The order that it belongs to, or ""."""
        return self.owner if self.is_order else ""


class TopicNames(NamedTuple):
    """How a source's tables are named as topics: `<source>.<schema>.<table>`; a table may bring its schema with it."""

    schema: str
    schemas: Mapping[str, str] = MappingProxyType({})
    """Of sources whose tables are in another schema."""

    def of(self, source: str, table: str) -> str:
        """Topic that the rows of a table of a source are read from."""
        return f"{source}.{table}" if "." in table else f"{source}.{self.schemas.get(source, self.schema)}.{table}"


def latency_us(case: Case) -> int | None:
    """From the moment the discrepancy could be known to its detection; None for a resolution."""
    return max(0, case.detected_us - case.source_commit_us) if case.is_open else None


def discrepancy_message(step: CaseStep, version: PartialVersion, topics: TopicNames) -> tuple[str, bytes, bytes]:
    """(topic, key, value) of a discrepancy with its full state; amounts are decimal strings, times µs since the epoch."""
    case = step.case
    finding = case.finding
    identifier = step.identifier
    spec, rule_version, kind = step.judged_by
    latency = latency_us(case)
    value = {
        "discrepancy_id": identifier,
        "spec": spec,
        "rule": finding.rule,
        "rule_version": rule_version,
        "class": kind,
        "direction": finding.direction,
        "status": case.status,
        "entity_kind": finding.entity_kind,
        "entity_id": str(finding.entity_id),
        "order_id": str(step.order_id),
        "statement_id": str(finding.statement_id),
        "shop_id": str(finding.shop_id),
        "currency": finding.currency,
        "expected": to_text(finding.expected_minor, finding.currency) if finding.currency else None,
        "actual": to_text(finding.actual_minor, finding.currency) if finding.currency else None,
        "delta": to_text(delta_minor(case), finding.currency) if finding.currency else None,
        "detail": finding.detail,
        "cause": case.cause,
        "cause_detail": case.cause_detail,
        "evidence": evidence_list(case, topics),
        "due_us": finding.due_us,
        "source_commit_us": case.source_commit_us,
        "opened_us": case.opened_us,
        "detected_us": case.detected_us,
        "resolved_us": case.resolved_us,
        "latency_ms": None if latency is None else latency / 1000,
        "occurrences": case.occurrences,
        "watermark_us": case.watermark_us,
        "version": list(version),
    }
    return DISCREPANCY_PREFIX + kind, identifier.encode(), orjson.dumps(value)


def discrepancy_headers(step: CaseStep, stage: str, partition: int) -> list[tuple[str, bytes]]:
    """What a worker that takes over the partition needs to go on from this message."""
    return [
        (OWNER_HEADER, orjson.dumps([stage, partition, step.owner])),
        (CASE_HEADER, dumps(encode_case(step.case))),
    ]


def evidence_list(case: Case, topics: TopicNames) -> list[dict[str, Any]]:
    """Where each leg was read: table, source, key, topic, partition, offset, version, commit time."""
    return [
        {
            "table": leg.table,
            "source": leg.source,
            "primary_key": str(leg.primary_key),
            "topic": topics.of(leg.source, leg.table),
            "partition": leg.partition,
            "offset": leg.offset,
            "version": leg.version,
            "commit_us": leg.commit_us,
        }
        for leg in case.finding.evidence
    ]


def delta_minor(case: Case) -> int | None:
    """Actual − expected, in minor units; None where the rule compares no amounts."""
    expected, actual = case.finding.expected_minor, case.finding.actual_minor
    return None if expected is None or actual is None else actual - expected


def scaled_or_none(amount_minor: int | None, currency: str) -> int | None:
    """Major units × 10⁴ for a Decimal(38, 4) column."""
    return None if amount_minor is None or not currency else scaled(amount_minor, currency)


def discrepancy_row(step: CaseStep, version: int, topics: TopicNames) -> tuple[object, ...]:
    """One row of the table `discrepancy`."""
    case, stamp = step.case, step.judged_by
    finding = case.finding
    latency = latency_us(case)
    return (
        step.identifier, version, step.month_days, finding.rule, stamp.spec, stamp.version, stamp.rule_class,
        finding.direction, case.status, finding.entity_kind, finding.entity_id, step.order_id, finding.statement_id,
        finding.shop_id, finding.currency, scaled_or_none(finding.expected_minor, finding.currency),
        scaled_or_none(finding.actual_minor, finding.currency), scaled_or_none(delta_minor(case), finding.currency),
        finding.detail, case.cause, case.cause_detail, orjson.dumps(evidence_list(case, topics)).decode(),
        finding.due_us, case.source_commit_us, case.opened_us, case.detected_us, case.resolved_us,
        None if latency is None else latency / 1000, case.occurrences, case.watermark_us,
    )  # fmt: skip


def encode_partial_message(
    statement_id: Id | None, payout_id: Id | None, partition: int, partial: Partial
) -> tuple[bytes | None, bytes]:
    """(key, value) on the partials topic; a stray (statement_id None) has no key and goes to every partition."""
    key = None if statement_id is None else orjson.dumps({"statement_id": statement_id})
    return key, dumps([statement_id, payout_id, partition, encode_partial(partial)])


class Marker(NamedTuple):
    """How far one stage-1 partition is: partials for every change up to `settled_us` stand before the marker, and no
    change after `reached_us` is in them.
    """

    settled_us: int
    reached_us: int


def encode_watermarks(watermarks: dict[int, Marker]) -> bytes:
    """Markers on the partials topic, by stage-1 partition."""
    return orjson.dumps({"watermarks": {str(partition): list(marker) for partition, marker in watermarks.items()}})


class PartialMessage(NamedTuple):
    """A decoded partial; `statement_id` None and `payout_id` set for strays."""

    statement_id: Id | None
    payout_id: Id | None
    partition: int
    partial: Partial


def decode_partials_topic(value: bytes | None) -> PartialMessage | dict[int, Marker]:
    """A partial, or markers. Errors: InvalidRecord `malformed-partial`."""
    try:
        decoded = loads(value or b"null")
        if isinstance(decoded, dict):
            return {
                int(partition): Marker(int(settled_us), int(reached_us))
                for partition, (settled_us, reached_us) in decoded["watermarks"].items()
            }
        statement_id, payout_id, partition, partial = decoded
        if not (_is_id(statement_id) and _is_id(payout_id) and type(partition) is int):
            raise ValueError("an id or the partition is of another type")
        return PartialMessage(statement_id, payout_id, partition, decode_partial(partial))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidRecord("malformed-partial", f"not a partial total: {error}") from None


def _is_id(value: object) -> bool:
    return value is None or type(value) in {int, str}


def totals_message(
    statement_id: Id,
    statement: Statement | None,
    totals: dict[str, RunningTotal],
    newest_us: int,
    watermark_us: int,
    partition: int,
) -> tuple[bytes, bytes]:
    """(key, value) of a statement's running totals, the key being its id as JSON: absolute, per currency, amounts as decimal strings."""
    value = {
        "statement_id": str(statement_id),
        "upstream": None
        if statement is None
        else {
            "currency": statement.currency,
            "count": statement.item_count,
            "amount": to_text(statement.amount_minor, statement.currency),
            "status": statement.status,
        },
        "totals": {
            currency: {"count": total.count, "amount": to_text(total.amount_minor, currency)}
            for currency, total in sorted(totals.items())
        },
        "newest_commit_us": newest_us,
        "watermark_us": watermark_us,
        "partition": partition,
    }
    return orjson.dumps(statement_id), orjson.dumps(value)
