"""Likely causes of the books in a source log, as a partition tells them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams.messages import encode_partial_message
from tests.histories import PARTIAL_PARTITIONS, finish
from tests.partition_bench import Bench, messages_of, order_bench, records_of, statement_bench
from tests.source_log import START_US, SourceLog
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, Partial, PartialVersion

Causes = dict[tuple[str, Any], tuple[str, str]]
"""(rule, entity id) → cause and detail."""


def causes_of(bench: Bench[Any]) -> Causes:
    cases = [case for state in bench.states().values() for case in state.cases.values()]
    return {(case.key[0], case.key[2]): (case.cause, case.cause_detail) for case in cases}


def of_order(log: SourceLog, directory: Path) -> Causes:
    """The causes of everything found about the orders, all judged at once at the end."""
    bench = order_bench(directory / "orders")
    try:
        bench.partition.process(records_of(messages_of(log.events)))
        finish(bench)
        return causes_of(bench)
    finally:
        bench.close()


def partial(
    *items: tuple[str, str, int, int],
    latest: tuple[LatestItem, ...] = (),
    lines: tuple[tuple[int, str, int, int], ...] = (),
) -> Partial:
    """Items as (currency, status, count, sum), lines as (payout, currency, count, sum)."""
    return Partial(
        PartialVersion(1, START_US),
        {(currency, status): ItemTotal(count, amount) for currency, status, count, amount in items},
        {(payout, currency): LineTotal(count, amount) for payout, currency, count, amount in lines},
        latest,
        START_US,
    )


def of_statement(log: SourceLog, totals: Partial | None, directory: Path) -> Causes:
    """The same about statement 1 with these totals."""
    bench = statement_bench(directory / "statements", partition_count=PARTIAL_PARTITIONS)
    messages = messages_of(log.events)
    if totals is not None:
        messages.append(("trueup.statement-partials", encode_partial_message(1, None, 0, totals)[1]))
    try:
        bench.partition.process(records_of(messages))
        finish(bench)
        return causes_of(bench)
    finally:
        bench.close()
