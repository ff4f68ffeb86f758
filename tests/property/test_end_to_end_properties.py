"""Both stages together: running totals and findings are those that plain arithmetic over the final rows gives."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.statement_view import running_totals
from streams.messages import PARTIALS_TOPIC
from tests.histories import (
    PARTIAL_PARTITIONS,
    Reading,
    Step,
    finish,
    happened,
    happened_plainly,
    steps,
)
from tests.naive_judge import Expected, NaiveJudge, totals_of
from tests.partition_bench import (
    TOLERANCES,
    Message,
    Opened,
    open_cases,
    order_bench,
    partials_for,
    partition_of,
    records_of,
    statement_bench,
)
from tests.source_log import SourceLog
from trueup.model.tables import ORDER_TABLES, Id

PARTITIONS = PARTIAL_PARTITIONS
HALF = settings(max_examples=settings().max_examples // 2)
"""Each example opens four stores or more."""
ALL_STEPS = steps("orders", "billing_item", "payout_item", "statement", "payout")


class Outcome:
    """What both stages say at the end."""

    def __init__(self) -> None:
        self.open: set[Opened] = set()
        self.totals: dict[tuple[Id, str], tuple[int, int]] = {}


def read_all(log: SourceLog, reading: Reading) -> Outcome:
    """Two partitions of each stage read the log in any way; stage 2 gets the partials in any order."""
    outcome = Outcome()
    with ExitStack() as stack:
        path = Path(stack.enter_context(TemporaryDirectory(prefix="trueup-test-")))
        logs: dict[tuple[bool, int], list[Message]] = {}
        for event in log.events:
            place = event.table in ORDER_TABLES, partition_of(event.key, PARTITIONS)
            logs.setdefault(place, []).append((event.table.name, event.value))
        sent = []
        for number in range(PARTITIONS):
            orders = order_bench(path / f"orders-{number}", number=number, partition_count=PARTITIONS)
            stack.callback(orders.close)
            reading.run(orders, records_of(reading.arrival(logs.get((True, number), [])), number))
            sent += orders.sent
            for state in orders.states().values():
                outcome.open |= open_cases(state.cases.values())
        for number in range(PARTITIONS):
            statements = statement_bench(path / f"statements-{number}", number=number, partition_count=PARTITIONS)
            stack.callback(statements.close)
            messages = [(PARTIALS_TOPIC, value or b"") for value in partials_for(sent, number, PARTITIONS)]
            messages += logs.get((False, number), [])
            reading.run(statements, records_of(reading.arrival(messages), number))
            finish(statements)
            for identifier, state in statements.states().items():
                outcome.open |= open_cases(state.cases.values())
                for currency, total in running_totals(state.books).items():
                    outcome.totals[identifier, currency] = (total.count, total.amount_minor)
    return outcome


def amounts_only(opened: set[Opened]) -> set[Expected]:
    """The currency counts where amounts are compared."""
    return {
        (key, expected, actual, "" if expected is None and actual is None else currency)
        for key, expected, actual, currency in opened
    }


@HALF
@given(ALL_STEPS, st.data())
def test_running_totals_are_the_sums_of_the_final_rows(what: list[Step], data: st.DataObject) -> None:
    log = happened(what)
    outcome = read_all(log, Reading(data.draw))
    assert outcome.totals == totals_of(log.live("billing_item"))


@HALF
@given(ALL_STEPS, st.data())
def test_findings_are_those_of_the_final_rows(what: list[Step], data: st.DataObject) -> None:
    log = happened_plainly(what)
    outcome = read_all(log, Reading(data.draw))
    judge = NaiveJudge(log, set(TOLERANCES.limits_us))
    assert amounts_only(outcome.open) == judge.findings()
    assert outcome.totals == totals_of(judge.items)
