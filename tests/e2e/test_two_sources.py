"""Two databases with the same tables: read side by side, judged together, kept apart."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.e2e.rig import Rig, running_rig
from trueup.inspection import order_timeline

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(800)]

SITE = "settlement_b"
SECONDS_STILL = 3.0
ORDER = (
    "INSERT INTO orders VALUES (%s, 7, 'USD', 12, 1, 1, NULL, 'paid', NULL, now());"
    "INSERT INTO billing_item VALUES (%s, %s, 7, 3, 'sale', %s, 10, 'USD', 'statemented', now(), now())"
)


def trade(dsn: str, order: int, item: int, source_no: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(ORDER, (order, item, order, source_no))


def test_one_id_from_two_sources_is_found_and_time_waits_for_both(tmp_path: Path) -> None:
    with running_rig(tmp_path / "stack", workers=1, sites=(SITE,)) as rig:
        first, second = rig.stack.postgres.dsn(), rig.stack.postgres.dsn(SITE)
        trade(first, 1, 11, "A-1")
        trade(second, 2, 12, "B-1")
        # The same order and item are traded on both sites.
        trade(first, 3, 13, "C-1")
        trade(second, 3, 13, "C-1")

        def clashes() -> set[tuple[object, ...]]:
            rows = rig.query("SELECT entity_kind, entity_id FROM {db}.v_open_discrepancies WHERE rule = 'duplicate-id'")
            return set(rows)

        wanted = {("billing_item", "13"), ("order", "3")}
        rig.wait("the clash is found", lambda: wanted <= clashes(), 120, "worker", "cdc")
        assert clashes() == wanted
        held = rig.query("SELECT source, billing_item_id FROM {db}.v_billing_items ORDER BY source, billing_item_id")
        assert held == [("settlement", "11"), ("settlement", "13"), (SITE, "12"), (SITE, "13")]
        facts = order_timeline(rig.settings, rig.reader, "3")
        assert facts is not None
        assert {leg["topic"].partition(".")[0] for leg in facts["legs"]} == {"settlement", SITE}
        assert {event["what"] for event in facts["events"]} != set()
        assert_time_waits(rig, first)


def assert_time_waits(rig: Rig, dsn: str) -> None:
    """While the other source's reader stands still, rows are written and time stands still too."""

    def watermark() -> object:
        return rig.query("SELECT min(watermark_at) FROM {db}.v_watermarks WHERE stage = 'orders'")[0][0]

    def trade_and_wait(order: int, item: int) -> None:
        trade(dsn, order, item, f"D-{order}")
        written = f"SELECT 1 FROM {{db}}.v_billing_items WHERE billing_item_id = '{item}'"
        rig.wait("the row is written", lambda: bool(rig.query(written)), 60, "worker", "cdc")

    rig.supervisor.pause("cdc-2")
    trade_and_wait(4, 14)
    # What was told before the pause may still be on its way.
    read: list[object] = []

    def has_stopped() -> bool:
        time.sleep(SECONDS_STILL)
        read.append(watermark())
        return read[-1] in read[:-1]

    rig.wait("time has stopped", has_stopped, 60, "worker")
    stopped = read[-1]
    trade_and_wait(5, 15)
    assert watermark() == stopped
    rig.supervisor.resume("cdc-2")
    rig.wait("time goes on", lambda: watermark() != stopped, 60, "worker", "cdc")
