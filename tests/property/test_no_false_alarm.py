"""Where every transaction leaves the books right, no discrepancy is ever published, however topics interleave and workers die."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.statement_view import running_totals
from streams.messages import DISCREPANCY_PREFIX
from tests.consistent_books import ConsistentBooks
from tests.live_pipeline import LivePipeline
from tests.naive_judge import NaiveJudge, totals_of
from tests.partition_bench import TOLERANCES, Sent

SEEDS = st.integers(0, 2**32)


def alarms(pipeline: LivePipeline) -> list[Sent]:
    sent = [message for bench in pipeline.orders for message in bench.sent]
    sent += [message for bench in pipeline.statements for message in bench.sent]
    return [message for message in sent if message.topic.startswith(DISCREPANCY_PREFIX)]


@given(SEEDS, st.integers(5, 60))
def test_the_source_in_this_test_never_errs(seed: int, length: int) -> None:
    books = ConsistentBooks(Random(seed))
    for _ in range(length):
        books.transaction()
        assert NaiveJudge(books.log, set(TOLERANCES.limits_us)).findings() == set()


@settings(max_examples=settings().max_examples // 2)
@given(SEEDS, st.integers(10, 60))
def test_right_books_raise_nothing(seed: int, length: int) -> None:
    random = Random(seed)
    books = ConsistentBooks(random)
    with ExitStack() as stack:
        path = Path(stack.enter_context(TemporaryDirectory(prefix="trueup-test-")))
        pipeline = LivePipeline(stack, path, random)
        committed = 0
        for _ in range(length):
            former_us = books.log.now_us
            books.transaction()
            if books.log.now_us > former_us and random.random() < 0.7:
                # All transactions of that time are in Kafka, but not the one that was just committed.
                pipeline.heartbeat(former_us)
            pipeline.commit(books.log.events[committed:])
            committed = len(books.log.events)
            for _ in range(random.randrange(8)):
                pipeline.something()
            assert alarms(pipeline) == []
        # Twice: after a crash, totals are told again only beyond the time that was told before.
        for time_us in (books.log.now_us, books.log.now_us + 1):
            pipeline.heartbeat(time_us)
            pipeline.catch_up()
        assert alarms(pipeline) == []
        totals = {}
        for bench in pipeline.statements:
            bench.close_window()
            bench.finish_window()
            for identifier, state in bench.states().items():
                assert state.judged
                for currency, total in running_totals(state.books).items():
                    totals[identifier, currency] = (total.count, total.amount_minor)
        assert totals == totals_of(books.log.live("billing_item"))
