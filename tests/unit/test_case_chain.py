"""The entries of one discrepancy in the audit log: whole, changed, cut off from the one before, or not known."""

from __future__ import annotations

import pytest

from clickhouse.audit import ChainPlace
from dashboards.pages.case_chain import LOOK_BACK, check_entries
from streams.audit_chain import GENESIS, Entry, Told, entry_of
from tests.partition_bench import LogRecord

TOPIC = "discrepancy.mismatch"
PLACE = ChainPlace(TOPIC, 3)


def record(offset: int) -> LogRecord:
    return LogRecord(TOPIC, 3, offset, b"{}", b"key", 0)


def entry(offset: int, prev_hash: str) -> Entry:
    return entry_of(record(offset), Told(1, "ab" * 16, "", "raised", "", "applied", "", 0, ""), prev_hash)


FIRST = entry(0, GENESIS)
SECOND = entry(5, FIRST.hash)


@pytest.mark.parametrize(
    ("checked", "hashes", "link"),
    [
        (FIRST, {}, "whole"),
        (entry(5, "aa" * 32), {4: "aa" * 32}, "whole"),
        (entry(5, "aa" * 32), {3: "aa" * 32, 1: "bb" * 32}, "whole"),
        (entry(5, "aa" * 32), {4: "bb" * 32, 3: "aa" * 32}, "broken"),
        (entry(5, "aa" * 32), {5 - LOOK_BACK - 1: "aa" * 32}, "unknown"),
        (entry(5, "aa" * 32), {}, "unknown"),
        (entry(5, GENESIS), {4: "aa" * 32}, "broken"),
        (SECOND._replace(note="another"), {0: FIRST.hash}, "changed"),
        (SECOND._replace(hash="0" * 64), {0: FIRST.hash}, "changed"),
    ],
)
def test_a_link(checked: Entry, hashes: dict[int, str], link: str) -> None:
    (found,) = check_entries([checked], {PLACE: hashes})
    assert found.link == link


def test_another_chain_does_not_count() -> None:
    (found,) = check_entries([entry(5, "aa" * 32)], {ChainPlace(TOPIC, 4): {4: "aa" * 32}})
    assert found.link == "unknown"
