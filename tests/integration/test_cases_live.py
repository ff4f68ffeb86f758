"""A discrepancy's whole life on a running stack: raised, steered, waived, back again; kills and a rebuild in between."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from clickhouse.client import connect
from reconcile.cases.commands import Command, Snooze
from streams.audit_chain import LOST, Head
from streams.case_partition import COMMANDS_TOPIC
from streams.case_recovery import CaseRecovery
from streams.codec import dumps
from streams.store import CHAIN_HEAD
from tests.e2e.command import trueup
from tests.e2e.rig import Rig, running_rig
from tests.e2e.test_rebuild import live_stores, read_store
from trueup.audit import ChainReport, verify_audit
from trueup.case_commands import Outcome, command_on, send_commands

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ORDER = 700_001
WAIT_SECONDS = 180.0
REST_US = 30_000_000

BOOKS = f"""
INSERT INTO orders VALUES ({ORDER}, 9, 'USD', 100, 10, 10, NULL, 'completed', now(), now());
INSERT INTO billing_item VALUES ({ORDER}, {ORDER}, 9, 1, 'sale', '1', 300, 'USD', 'statemented', now(), now());
"""


class Desk:
    """A person's view of the one discrepancy, and their means to act on it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = connect(rig.settings.clickhouse)

    def change(self, statement: str) -> None:
        """Change the books."""
        with self.rig.source() as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def bill(self, amount: int) -> None:
        """Correct or spoil the billed amount."""
        self.change(f"UPDATE billing_item SET amount = {amount} WHERE billing_item_id = {ORDER}")

    def case(self) -> dict[str, Any] | None:
        """The row of the view."""
        database = self.rig.settings.clickhouse.database
        found = self.client.query(
            f"SELECT * FROM {database}.v_cases WHERE rule = 'wrong-billing-amount' AND order_id = '{ORDER}'"
        )
        return next(iter(found.named_results()), None)

    def wait(self, standing: str) -> dict[str, Any]:
        """The row once it stands there."""
        self.rig.wait(
            f"standing {standing}", lambda: (self.case() or {}).get("standing") == standing, WAIT_SECONDS, "worker"
        )
        case = self.case()
        assert case is not None
        return case

    def give(self, kind: str, actor: str = "ann", case: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """One command on what is seen now, or on an earlier row."""
        return self.send(self.command(kind, actor, case, **fields))

    def command(self, kind: str, actor: str, case: dict[str, Any] | None = None, **fields: Any) -> Command:
        """A command that is not sent yet."""
        seen = case or self.case()
        assert seen is not None
        return command_on(seen, kind, actor, time.time_ns() // 1000, **fields)

    def send(self, command: Command, answer_seconds: float = WAIT_SECONDS) -> Outcome:
        """Send it."""
        (outcome,) = send_commands(self.rig.settings, self.client, [command], answer_seconds=answer_seconds)
        return outcome

    def audit(self) -> list[ChainReport]:
        """Every chain, verified."""
        return verify_audit(self.rig.settings, self.client)

    def rows(self) -> list[tuple[object, ...]]:
        """The audit log."""
        return self.rig.query("SELECT * FROM {db}.audit_log FINAL ORDER BY topic, partition, kafka_offset")


@pytest.mark.timeout(900)
def test_the_life_of_a_discrepancy(tmp_path: Path) -> None:
    with running_rig(tmp_path / "stack") as rig:
        desk = Desk(rig)
        desk.change(BOOKS)
        first = desk.wait("open")
        assert (str(first["delta"]), first["severity"], first["revision"]) == ("220.0000", "medium", 0)
        steer(desk, first)
        come_back(desk)
        whole = desk.audit()
        assert [report.broken for report in whole] == [None] * len(whole)
        assert_periods(rig)
        rebuild(desk, tmp_path / "rebuilt")
        forge(desk, tmp_path)


def steer(desk: Desk, first: dict[str, Any]) -> None:
    """Acknowledge, decide too late, let it rest, waive above the limit, approve while the workers die."""
    assert desk.give("acknowledge").result == "applied"
    desk.wait("acknowledged")
    late = desk.give("assign", case=first, assignee="bob")
    assert (late.result, late.revision) == ("refused", 1)
    assert "at revision 1 (acknowledged)" in late.reason
    rest = Snooze(time.time_ns() // 1000 + REST_US, "", None)
    assert desk.give("snooze", snooze=rest).result == "applied"
    desk.wait("snoozed")
    desk.wait("acknowledged")
    assert desk.give("waive", note="agreed with the seller").result == "applied"
    desk.wait("waive-requested")
    assert desk.give("approve").reason == "a waiver is approved by another person than the one who asked for it"
    approval = desk.command("approve", "bob")
    assert desk.send(approval, answer_seconds=0).result in {"unanswered", "applied"}
    desk.rig.kill_workers()
    assert desk.send(approval).result == "applied"
    assert desk.wait("waived")["revision"] == 4


def come_back(desk: Desk) -> None:
    """The amounts change, the books agree, and disagree again."""
    desk.bill(400)
    assert desk.wait("open")["lapse"] == "waiver lapsed: the amounts changed"
    desk.rig.kill_workers()
    desk.bill(80)
    desk.wait("auto-resolved")
    desk.bill(300)
    back = desk.wait("regressed")
    assert (back["occurrences"], back["lapse"]) == (2, "waiver lapsed: it was raised again")


def assert_periods(rig: Rig) -> None:
    ((raised, resolved, left),) = rig.query(
        "SELECT raised, resolved_within, open_at_end FROM {db}.v_period_status "
        "WHERE class = 'wrong-amount' AND currency = 'USD'"
    )
    assert (raised, resolved, left) == (2, 1, 1)


def rebuild(desk: Desk, directory: Path) -> None:
    """Every store is lost: states and chain heads that come back from ClickHouse are the same, and the chains go on."""
    rig = desk.rig
    rig.supervisor.scale("worker", 0)
    rows = desk.rows()
    live = live_stores(rig, "cases")
    assert len(live) == rig.settings.kafka.partitions
    recovery = CaseRecovery(directory, desk.client, rig.settings.clickhouse.database, batch_rows=2)
    for number, content in live.items():
        store, _ = recovery.open(number, content.meta.ends)
        store.close()
        assert read_store(store.path).entries == content.entries, f"partition {number}"
    gap = CaseRecovery(directory / "gap", desk.client, rig.settings.clickhouse.database, batch_rows=2)
    store, _ = gap.open(0, {COMMANDS_TOPIC: 1_000_000})
    assert store.get_many([CHAIN_HEAD + COMMANDS_TOPIC.encode()]) == [dumps(Head(1_000_000, LOST))]
    store.close()
    for worker in rig.stack.data_dir.glob("worker-*"):
        shutil.rmtree(worker)
    rig.stack.start_workers()
    rig.wait_for_partitions()
    assert desk.give("comment", note="looked at it again").result == "applied"
    assert set(rows) < set(desk.rows())
    assert [report.broken for report in desk.audit() if report.broken] == []


def forge(desk: Desk, directory: Path) -> None:
    """Somebody rewrites history and cuts off its end: both places are named, and the command fails."""
    verify = ("audit", "verify", "--data-dir", str(desk.rig.stack.data_dir))
    whole = trueup(*verify, cwd=directory)
    assert (whole.returncode, "whole: " in whole.stdout) == (0, True), whole.stderr
    desk.client.command(
        f"INSERT INTO {desk.rig.settings.clickhouse.database}.audit_log "
        f"SELECT * REPLACE ('not me' AS actor) FROM {desk.rig.settings.clickhouse.database}.audit_log FINAL "
        "WHERE kind = 'waive'"
    )
    ((place, offset),) = desk.rig.query(
        "SELECT partition, kafka_offset FROM {db}.audit_log FINAL WHERE kind = 'regressed'"
    )
    desk.client.command(
        f"ALTER TABLE {desk.rig.settings.clickhouse.database}.audit_log DELETE WHERE topic = 'discrepancy.wrong-amount' "
        f"AND partition = {place} AND kafka_offset >= {offset} SETTINGS mutations_sync = 2"
    )
    (forged, cut) = [report.broken for report in desk.audit() if report.broken][::-1]
    assert forged.what == "the row was changed"
    assert cut.what.startswith("the chain ends before offset")
    failed = trueup(*verify, cwd=directory)
    assert (failed.returncode, "the row was changed" in failed.stdout) == (1, True)
