"""R: state that is rebuilt from ClickHouse equals the state that was lost, and work goes on from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from rocksdict import AccessType, Options, Rdict

from clickhouse.client import connect
from clickhouse.release_table import RELEASE_WIDE
from clickhouse.schema import ORDER_WIDE, STATEMENT_WIDE
from streams.codec import loads
from streams.recovery import Recovery
from streams.release_messages import decode_share
from streams.statement_state import decode_partial
from streams.store import PARTIAL, PAYOUT_OWNER, SHARE, STRAY, SWEPT, Meta, PartitionStore
from tests.e2e.books import assert_books_agree
from tests.e2e.rig import Rig, new_seed, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STAGES = {"orders": ORDER_WIDE, "statements": STATEMENT_WIDE, "releases": RELEASE_WIDE}
META = b"m"


class Content(NamedTuple):
    """One partition's store: its record of itself, and everything else by key."""

    meta: Meta
    entries: dict[bytes, Any]


def read_store(path: Path) -> Content:
    """What a store must have, whatever it was made from.

    Totals come without their versions, which tell when they were summed up. Lines of payouts that the partition does not
    know are left out: every partition keeps those, in case that the payout is one of its own. By which rules all was judged
    is left out too: ClickHouse does not tell, and what is rebuilt is judged once more.
    """
    database = Rdict(str(path), Options(raw_mode=True), access_type=AccessType.read_only())
    raw: Any = database.items()
    entries: dict[bytes, Any] = {bytes(key): bytes(value) for key, value in raw}
    database.close()
    meta = Meta._make(loads(entries.pop(META)))
    entries.pop(SWEPT, None)
    for key, value in list(entries.items()):
        if key[:1] == PARTIAL:
            entries[key] = total_of(loads(value))
        elif key[:1] == SHARE:
            entries[key] = decode_share(loads(value)).totals or NOTHING
        elif key[:1] == STRAY and PAYOUT_OWNER + key[1:] in entries:
            entries[key] = {partition: total_of(partial) for partition, partial in loads(value)}
        elif key[:1] == STRAY:
            del entries[key]
    # A total that has become nothing may stand as nothing, or not at all.
    return Content(meta, {key: value for key, value in entries.items() if value != NOTHING})


def total_of(encoded: Any) -> tuple[Any, ...]:
    partial = decode_partial(encoded)
    items = {key: total for key, total in partial.items.items() if total != (0, 0)}
    lines = {key: total for key, total in partial.lines.items() if total != (0, 0)}
    return items, lines, partial.latest


NOTHING: tuple[Any, ...] = ({}, {}, ())


def live_stores(rig: Rig, stage: str) -> dict[int, Content]:
    """Partition → the newest store of any worker; those of former owners stay behind."""
    newest: dict[int, Content] = {}
    for path in sorted(rig.stack.data_dir.glob(f"worker-*/{stage}/*")):
        content = read_store(path)
        held = newest.get(int(path.name))
        if held is None or sum(held.meta.ends.values()) < sum(content.meta.ends.values()):
            newest[int(path.name)] = content
    return newest


def rebuilt_store(rig: Rig, stage: str, number: int, ends: dict[str, int], directory: Path) -> Content:
    """The same partition, made from ClickHouse alone."""
    client = connect(rig.settings.clickhouse)
    recovery = Recovery(directory, client, rig.settings.clickhouse.database, STAGES[stage], batch_rows=500)
    opened = recovery.open(number, ends)
    assert isinstance(opened.store, PartitionStore)
    opened.store.close()
    client.close()
    return read_store(opened.store.path)


def differences(live: Content, rebuilt: Content) -> list[str]:
    keys = live.entries.keys() | rebuilt.entries.keys()
    return [
        f"{key!r}: live {live.entries.get(key)!r}, rebuilt {rebuilt.entries.get(key)!r}"
        for key in sorted(keys)
        if live.entries.get(key) != rebuilt.entries.get(key)
    ]


@pytest.mark.timeout(900)
def test_rebuilt_state_equals_live_state(tmp_path: Path) -> None:
    seed = new_seed()
    with running_rig(tmp_path / "stack") as rig:
        with rig.load(seed):
            pass
        rig.settle()
        rig.supervisor.scale("worker", 0)
        compared = 0
        for stage in STAGES:
            live = live_stores(rig, stage)
            assert sorted(live) == list(range(rig.settings.kafka.partitions))
            for number, content in live.items():
                rebuilt = rebuilt_store(rig, stage, number, content.meta.ends, tmp_path / "rebuilt" / stage)
                assert differences(content, rebuilt)[:5] == [], f"{stage}, partition {number}"
                compared += len(content.entries)
        assert compared > 1_000
        for directory in rig.stack.data_dir.glob("worker-*"):
            shutil.rmtree(directory)
        with rig.load(seed + 1):
            rig.stack.start_workers()
            rig.wait_for_partitions()
        rig.settle()
        assert_books_agree(rig)
        logs = "".join(rig.supervisor.log_path(f"worker-{number}").read_text() for number in (1, 2))
        assert logs.count('"state_rebuilt"') >= 2 * rig.settings.kafka.partitions, orjson.dumps(rig.logs("worker"))
