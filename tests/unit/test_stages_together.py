"""Stage 2 compares statements with totals of one and the same time, also after a restart."""

from __future__ import annotations

from pathlib import Path

from streams.aftermath import nothing_said
from streams.messages import PARTIALS_TOPIC, Marker, PartialMessage, decode_partials_topic, encode_watermarks
from tests.partition_bench import LogRecord, Message, messages_of, open_cases, order_bench, records_of, statement_bench
from tests.source_log import SECOND_US, START_US, SourceLog


def marker(settled_us: int, reached_us: int) -> Message:
    return PARTIALS_TOPIC, encode_watermarks({0: Marker(settled_us, reached_us)})


def test_no_verdict_while_the_totals_are_ahead_of_the_statements(tmp_path: Path) -> None:
    """An item came and went before its order was judged: no total tells that there ever was one."""
    later_us = START_US + 9 * SECOND_US
    log = SourceLog().put("statement").tick().put("statement", item_count=0, amount="0.00")
    records = records_of([*messages_of(log.events), marker(later_us, later_us)])
    bench = statement_bench(tmp_path / "statements")
    try:
        bench.partition.process([records[0], records[2]])
        bench.partition.advance(START_US)
        assert bench.sent == [message for message in bench.sent if not message.topic.startswith("discrepancy.")]
        bench.partition.process([records[1]])
        bench.settle_all(later_us)
        (state,) = bench.states().values()
        assert (open_cases(state.cases.values()), state.judged) == (set(), True)
    finally:
        bench.close()


def test_a_marker_that_goes_back_holds_verdicts_back(tmp_path: Path) -> None:
    late_us = START_US + 9 * SECOND_US
    log = SourceLog().put("statement", item_count=0, amount="0.00").tick().put("statement", amount="1.00")
    bench = statement_bench(tmp_path / "statements")
    try:
        values = [*messages_of(log.events), marker(late_us, late_us), marker(START_US, late_us)]
        first, second, high, low = records_of(values)
        bench.partition.process([first, high])
        bench.partition.advance(late_us)
        bench.partition.process([low, second])
        assert [message.topic for message in bench.sent if message.topic.startswith("discrepancy.")] == []
        bench.partition.process([LogRecord(PARTIALS_TOPIC, 0, low.offset + 1, marker(late_us + 1, late_us)[1])])
        bench.partition.advance(late_us + 1)
        assert [message.topic for message in bench.sent if message.topic.startswith("discrepancy.")] == [
            "discrepancy.wrong-amount"
        ]
    finally:
        bench.close()


def test_an_order_that_is_held_back_is_still_held_back_after_a_restart(tmp_path: Path) -> None:
    log = SourceLog().put("orders").tick(10).put("orders", fee_amount="2.00")
    between_us = START_US + 5 * SECOND_US
    bench = order_bench(tmp_path / "orders")
    try:
        bench.partition.process(records_of(messages_of(log.events)))
        bench.settle_all(between_us)
        assert bench.partition.marker == Marker(START_US - 1, between_us)
        bench.crash()
        assert bench.partition.marker == Marker(START_US - 1, between_us)
        bench.partition.advance(START_US + 20 * SECOND_US)
        assert bench.partition.marker.settled_us == START_US + 20 * SECOND_US
    finally:
        bench.close()


def test_a_total_that_was_held_back_is_sent_after_a_second_crash(tmp_path: Path) -> None:
    """The first life spoke at a later watermark; the second one waits to reach it, and dies with its state durable."""
    log = SourceLog().put("billing_item").put("payout_item", billing_item_id=77)
    item, line = records_of(messages_of(log.events))
    bench = order_bench(tmp_path / "orders")
    try:
        bench.partition.process([item])
        bench.partition.advance(START_US + 17 * SECOND_US)
        bench.crash()
        bench.partition.written_us = 1
        bench.partition.process([item, line])
        bench.partition.advance(START_US + 16 * SECOND_US)
        bench.close_window()
        assert bench.in_flight is not None
        assert bench.in_flight.meta.written_us == 1
        bench.finish_window()
        spoken = len(bench.sent)
        bench.crash()
        bench.settle_all(START_US + 20 * SECOND_US)
        later = [decode_partials_topic(sent.value) for sent in bench.sent[spoken:] if sent.topic == PARTIALS_TOPIC]
        assert {(one.statement_id, one.payout_id) for one in later if isinstance(one, PartialMessage)} == {
            (1, None),
            (None, 1),
        }
        assert bench.partition.close_window().meta.written_us != 1
    finally:
        bench.close()


def test_a_window_that_closes_before_its_word_was_read_back_keeps_the_time_before(tmp_path: Path) -> None:
    """Windows go on by the clock while what was published is read; a crash then must not forget where to read from."""
    bench = order_bench(tmp_path / "orders")
    try:
        bench.partition.adopt(nothing_said())
        bench.partition.process(records_of(messages_of(SourceLog().put("orders").events)))
        bench.settle_all(START_US)
        kept = bench.partition.store.meta()
        assert kept is not None
        before_us = kept.written_us
        bench.partition.store.close()
        bench = order_bench(tmp_path / "orders")
        bench.partition.written_us = before_us - 1
        assert bench.partition.close_window().meta.written_us == before_us - 1
        bench.partition.adopt(nothing_said())
        assert bench.partition.close_window().meta.written_us == before_us
    finally:
        bench.close()
