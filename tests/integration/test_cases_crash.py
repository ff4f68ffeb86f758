"""Workers die again and again under load: cases say what the judges say, and every chain is whole."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from clickhouse.client import connect
from tests.e2e.rig import Rig, new_seed, running_rig
from trueup.audit import verify_audit
from trueup.case_commands import command_on, send_commands

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KILLS = 5
AGREE_SECONDS = 60.0

DIFFERENCES = """
SELECT discrepancy_id, found.status, told.status, found.occurrences, told.occurrences, found.delta, told.delta
FROM (SELECT * FROM {db}.discrepancy FINAL) AS found
FULL OUTER JOIN (SELECT * FROM {db}.case_wide FINAL) AS told USING (discrepancy_id)
WHERE (found.status, found.occurrences, found.expected, found.actual, found.currency)
    IS DISTINCT FROM (told.status, told.occurrences, told.expected, told.actual, told.currency)
"""


@pytest.mark.timeout(420)
def test_cases_follow_the_judges_through_crashes(tmp_path: Path) -> None:
    seed = new_seed()
    rng = random.Random(seed)
    with running_rig(tmp_path) as rig:
        with rig.load(seed):
            for _ in range(KILLS):
                time.sleep(rng.uniform(1.0, 4.0))
                acknowledge_some(rig)
                victim = rng.choice(rig.states("worker"))
                rig.supervisor.kill(victim.name)
                rig.wait_restarted(victim)
        rig.wait_for_partitions()
        rig.settle()
        deadline = time.monotonic() + AGREE_SECONDS
        while (differences := rig.query(DIFFERENCES)) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert differences[:5] == []
        client = connect(rig.settings.clickhouse)
        reports = verify_audit(rig.settings, client)
        client.close()
        assert [report.broken for report in reports if report.broken] == []
        ((cases, acknowledged),) = rig.query("SELECT count(), sum(revision) FROM {db}.case_wide FINAL")
        assert (cases, acknowledged) == (len(rig.reader.discrepancy_keys()), sent_commands(rig))
        assert sum(report.length for report in reports) > KILLS


def acknowledge_some(rig: Rig) -> None:
    """Commands that nobody waits for, a few of them twice."""
    client = connect(rig.settings.clickhouse)
    rows = client.query(
        f"SELECT * FROM {rig.settings.clickhouse.database}.v_cases WHERE revision = 0 LIMIT 20"
    ).named_results()
    commands = [command_on(row, "acknowledge", "ann", time.time_ns() // 1000) for row in rows]
    send_commands(rig.settings, client, commands + commands[:5], answer_seconds=0)
    client.close()


def sent_commands(rig: Rig) -> object:
    """Commands that were accepted, as the audit log has them."""
    ((accepted,),) = rig.query("SELECT countIf(outcome = 'applied') FROM {db}.audit_log FINAL WHERE command_id != ''")
    return accepted
