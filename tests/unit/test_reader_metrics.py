"""What the reader tells: figures by table and code, positions, lag, and when it is ready."""

from __future__ import annotations

import time

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cdc.counters import Gap, Phase, ReaderCounters
from cdc.metrics import ANSWER_SECONDS_MAX, LOOP_SECONDS_MAX, ReaderMetrics, reader_alive, reader_parts

NOW = 1_000_000.0


def samples_of(counters: ReaderCounters) -> dict[tuple[str, str], float]:
    """(name, first label value) → value of everything of ours that is exposed."""
    text = generate_latest(ReaderMetrics(counters, now=lambda: NOW).registry).decode()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("trueup_")
    }


def test_what_is_not_known_yet_has_no_value() -> None:
    samples = samples_of(ReaderCounters())
    names = {name for name, _ in samples}
    assert samples["trueup_reader_ready", ""] == 0
    assert {"trueup_reader_lag_seconds", "trueup_reader_lag_bytes"} & names == set()


def test_changes_and_refusals_are_told_by_table_and_code() -> None:
    counters = ReaderCounters()
    counters.table("public.orders").changes += 3
    counters.table("public.payout").snapshot_rows += 2
    counters.quarantined_by_code["too-large"] += 1
    counters.quarantined_by_code["never heard of"] += 4
    samples = samples_of(counters)
    assert samples["trueup_reader_changes_total", "public.orders"] == 3
    assert samples["trueup_reader_changes_total", "public.payout"] == 0
    assert samples["trueup_reader_snapshot_rows_total", "public.payout"] == 2
    assert samples["trueup_reader_quarantined_total", "too-large"] == 1
    assert samples["trueup_reader_quarantined_total", "other"] == 4
    assert (counters.changes, counters.snapshot_rows, counters.quarantined) == (3, 2, 5)


def test_lag_is_told_in_bytes_and_seconds() -> None:
    counters = ReaderCounters(confirmed_lsn=1_000, server_lsn=1_500, watermark_us=int((NOW - 2.5) * 1e6))
    samples = samples_of(counters)
    assert samples["trueup_reader_lag_bytes", ""] == 500
    assert samples["trueup_reader_lag_seconds", ""] == 2.5
    assert samples["trueup_reader_confirmed_position_bytes", ""] == 1_000


def test_a_reader_is_ready_while_it_reads_and_both_sides_answer() -> None:
    counters = ReaderCounters()
    assert not reader_parts(counters)["reading"].ready
    counters.phase = Phase.SNAPSHOT
    assert all(part.ready for part in reader_parts(counters).values())
    counters.began_streaming()
    assert samples_of(counters)["trueup_reader_ready", ""] == 1


def test_silence_of_either_side_makes_it_unready() -> None:
    counters = ReaderCounters()
    counters.began_streaming()
    counters.source_answered_at -= ANSWER_SECONDS_MAX + 1
    assert {name for name, part in reader_parts(counters).items() if not part.ready} == {"source"}
    counters.began_streaming()
    counters.delivered_at -= ANSWER_SECONDS_MAX + 1
    assert {name for name, part in reader_parts(counters).items() if not part.ready} == {"kafka"}


def test_the_last_error_stays_after_recovery() -> None:
    counters = ReaderCounters()
    counters.began_streaming()
    counters.interrupted("source", "the server is gone")
    parts = reader_parts(counters)
    assert (parts["source"].ready, parts["kafka"].ready, parts["reading"].ready) == (False, True, False)
    counters.began_streaming()
    assert reader_parts(counters)["source"] == (True, "the server is gone")


def test_a_loop_that_does_not_turn_is_dead() -> None:
    counters = ReaderCounters()
    assert reader_alive(counters)
    counters.turned_at = time.monotonic() - LOOP_SECONDS_MAX - 1
    assert not reader_alive(counters)
    counters.turn()
    assert reader_alive(counters)


def test_a_gap_is_told_until_it_is_made_up_for_and_counted_once() -> None:
    counters = ReaderCounters()
    counters.began_streaming()
    gap = Gap("the slot trueup is gone", 4096, 1_767_225_600_000_000)
    counters.found_gap(gap)
    counters.found_gap(gap)
    samples = samples_of(counters)
    assert (samples["trueup_reader_gaps_total", ""], samples["trueup_reader_gap_open", ""]) == (1, 1)
    history = reader_parts(counters)["history"]
    assert not history.ready
    assert history.error == (
        "the slot trueup is gone: changes after 2026-01-01 00:00:00 UTC (position 4096) may be missing; they are copied"
    )
    counters.repaired_gap(1_767_225_660_000_000)
    assert samples_of(counters)["trueup_reader_gap_open", ""] == 0
    assert reader_parts(counters)["history"].error.endswith("all tables were copied again at 2026-01-01 00:01:00 UTC")
    counters.found_gap(Gap("the source is another server", 1, 0))
    assert samples_of(counters)["trueup_reader_gaps_total", ""] == 2


def test_a_stopped_table_makes_it_unready() -> None:
    counters = ReaderCounters()
    counters.began_streaming()
    counters.stopped["public.orders"] = "table public.orders has no column currency"
    assert samples_of(counters)["trueup_reader_stopped_tables", ""] == 1
    assert reader_parts(counters)["tables"] == (False, "table public.orders has no column currency")
