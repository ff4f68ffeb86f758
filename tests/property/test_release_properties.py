"""Shares of releases, and releases themselves, end the same however the logs are read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.release_messages import SHARES_TOPIC, ShareMessage, decode_shares_topic, encode_share_message
from streams.release_partition import ReleasePartition
from tests.histories import WALKS, Reading, Step, happened, steps, straightforward, walking_by
from tests.partition_bench import (
    Bench,
    Message,
    Sent,
    messages_of,
    open_cases,
    published_open,
    read_references,
    records_of,
    release_bench,
    statement_bench,
)
from tests.source_log import SECOND_US, SOURCE, START_US, SourceLog, changes_of
from trueup.model.money import minor_units
from trueup.model.registers import LineTotal
from trueup.model.releases import Channel, ReleaseShare

HALF = settings(max_examples=settings().max_examples // 2)
"""Each example opens stores."""

Totals = dict[tuple[Any, str], dict[Channel, LineTotal]]
"""By (release, source)."""


def told(sent: Iterable[Sent]) -> dict[tuple[Any, str], ReleaseShare]:
    """What a reader of the shares topic holds: of each share the one with the highest version."""
    held: dict[tuple[Any, str], ReleaseShare] = {}
    for message in sent:
        if message.topic == SHARES_TOPIC:
            decoded = decode_shares_topic(message.value)
            assert isinstance(decoded, ShareMessage)
            key = (decoded.release_id, decoded.source)
            if key not in held or held[key].version < decoded.share.version:
                held[key] = decoded.share
    return held


def plainly(log: SourceLog) -> Totals:
    """Sums over the rows as they are in the end."""
    totals: Totals = {}
    for (source, table, _key), row in log.rows.items():
        reference = row["channel_ref"] if table == "payout" else None
        if reference and reference.startswith("R"):
            channel = Channel(row["payment_method"], row["currency"])
            held = totals.setdefault((int(reference[1:]), source), {})
            count, amount = held.get(channel, LineTotal(0, 0))
            held[channel] = LineTotal(count + 1, amount + minor_units(row["amount"], row["currency"]))
    return totals


@HALF
@given(steps("payout", truncates=True), st.data())
def test_shares_are_the_sums_of_the_rows(what: list[Step], data: st.DataObject) -> None:
    log = happened(what)
    reading = Reading(data.draw)
    with tempfile.TemporaryDirectory() as path:
        bench = statement_bench(Path(path), partition_count=2)
        try:
            with walking_by(data.draw(WALKS)):
                reading.run(bench, records_of(reading.arrival(messages_of(log.events))))
            held = {key: share.totals for key, share in told(bench.sent).items() if share.totals}
            assert held == plainly(log)
        finally:
            bench.close()


def fingerprint(bench: Bench[ReleasePartition]) -> dict[Any, Any]:
    return {
        identifier: (
            {key: register[:-2] for key, register in state.books.releases.items()},
            state.books.shares,
            state.books.newest_us,
            open_cases(state.cases.values()),
            (state.judged, state.due_us),
        )
        for identifier, state in bench.states().items()
    }


SHARES = st.lists(st.tuples(st.sampled_from((1, 2)), st.integers(0, 1), st.sampled_from((0, 800, 8))), max_size=6)


def share_messages(drawn: list[tuple[int, int, int]]) -> list[Message]:
    """As stage 2 sends them: a later share knows of later commits."""
    messages = []
    for version, (release_id, partition, amount_minor) in enumerate(drawn, start=1):
        share = ReleaseShare(
            version, {Channel("bank", "USD"): LineTotal(1, amount_minor)}, START_US + version * SECOND_US
        )
        messages.append((SHARES_TOPIC, encode_share_message(ShareMessage(release_id, SOURCE, partition, share))[1]))
    return messages


@HALF
@given(steps("release_summary", truncates=True), SHARES, st.data())
def test_releases_end_the_same_however_they_are_read(
    what: list[Step], drawn: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    log = happened(what)
    references = read_references(changes_of(log))
    messages = messages_of(log.events) + share_messages(drawn)
    reading = Reading(data.draw)
    with tempfile.TemporaryDirectory() as path:
        plain = release_bench(Path(path) / "plain", references=references)
        other = release_bench(Path(path) / "other", references=references)
        try:
            straightforward(plain, messages)
            with walking_by(data.draw(WALKS)):
                reading.run(other, records_of(reading.arrival(messages)))
            assert fingerprint(other) == fingerprint(plain)
            assert published_open(other.sent) == published_open(plain.sent)
        finally:
            plain.close()
            other.close()
