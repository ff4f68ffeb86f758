"""What source time is reached when."""

from __future__ import annotations

import orjson

from cdc.heartbeat import COMMIT_SKEW_US, PROBES_KEPT_MAX, Probe, SourceTime, encode_heartbeat

NOW = 1_795_000_000_000_000


def test_a_probe_counts_when_its_position_was_received() -> None:
    time = SourceTime()
    time.probed(Probe(NOW, 100))
    time.probed(Probe(NOW + 5, 200))
    time.received(99)
    assert (time.reached_us, time.waiting) == (0, True)
    time.received(100)
    assert (time.reached_us, time.waiting) == (NOW - COMMIT_SKEW_US, True)
    time.received(500)
    assert (time.reached_us, time.waiting) == (NOW + 5 - COMMIT_SKEW_US, False)


def test_a_commit_counts_at_once_and_time_never_goes_back() -> None:
    time = SourceTime()
    time.committed(NOW)
    time.committed(NOW - 10)
    assert time.reached_us == NOW - COMMIT_SKEW_US


def test_probes_that_are_never_reached_are_bounded() -> None:
    time = SourceTime()
    for number in range(10 * PROBES_KEPT_MAX):
        time.probed(Probe(NOW + number, 100 + number))
    time.received(99)
    assert time.reached_us == 0
    time.received(100)
    assert time.reached_us == NOW - COMMIT_SKEW_US, "the oldest stays: time moves however far behind the stream is"
    time.received(100 + 9 * PROBES_KEPT_MAX)
    assert NOW + 8 * PROBES_KEPT_MAX < time.reached_us + COMMIT_SKEW_US <= NOW + 9 * PROBES_KEPT_MAX


def test_the_message() -> None:
    message = encode_heartbeat("settlement", NOW, 7, {"settlement.public.orders": [1, 2]})
    assert orjson.loads(message) == {
        "source": "settlement",
        "ts_us": NOW,
        "lsn": 7,
        "positions": {"settlement.public.orders": [1, 2]},
    }
