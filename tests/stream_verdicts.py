"""What is discrepant once a whole stream of source messages has been judged, through all stages on one partition each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from streams.messages import PARTIALS_TOPIC
from streams.reference import ReferenceRecord, References, is_copied
from streams.watermark import Heartbeat
from tests.partition_bench import (
    Message,
    Opened,
    order_bench,
    partials_for,
    records_of,
    statement_bench,
)
from tests.source_log import DECODERS, FAR_US, SOURCE
from trueup.model.change import Change, Truncation
from trueup.model.tables import ORDER_TABLES, REFERENCE_TABLES, STATEMENT_TABLES

__all__ = ["Opened", "verdicts_of"]

ORDER_TOPICS = frozenset(table.name for table in ORDER_TABLES)
STATEMENT_TOPICS = frozenset(table.name for table in STATEMENT_TABLES)
REFERENCE_TOPICS = frozenset(table.name for table in REFERENCE_TABLES)


def verdicts_of(directory: Path, messages: Sequence[Message]) -> set[Opened]:
    """The open cases of orders and statements, long after everything was due. Topics are called as their tables."""
    with ExitStack() as stack:
        orders = order_bench(directory / "orders")
        stack.callback(orders.close)
        orders.partition.process(records_of(one for one in messages if one[0] in ORDER_TOPICS))
        orders.settle_all(FAR_US)
        statements = statement_bench(directory / "statements", references=_references(messages))
        stack.callback(statements.close)
        partials = [(PARTIALS_TOPIC, value) for value in partials_for(orders.sent, 0, 1) if value is not None]
        told = [one for one in messages if one[0] in STATEMENT_TOPICS]
        statements.partition.process(records_of([*told, *partials]))
        statements.settle_all(FAR_US)
        opened: set[Opened] = set()
        for bench in (orders, statements):
            for state in bench.states().values():
                opened |= {
                    (case.key, case.finding.expected_minor, case.finding.actual_minor, case.finding.currency)
                    for case in state.cases.values()
                    if case.is_open
                }
        return opened


def _references(messages: Sequence[Message]) -> References:
    references = References(["references"], [SOURCE], 1)
    for topic, value in messages:
        if topic in REFERENCE_TOPICS:
            change = DECODERS[topic].decode(value, 0, 0)
            assert isinstance(change, Change | Truncation | None)
            references.take([ReferenceRecord("references", 0, 0, change, copied=is_copied(value))])
    references.hear([Heartbeat(SOURCE, FAR_US, {})])
    return references
