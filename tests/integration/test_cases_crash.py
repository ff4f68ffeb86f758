"""Workers die again and again under load: cases say what the judges say, and every chain is whole."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from clickhouse.client import connect
from tests.e2e.case_books import faults_of_cases
from tests.e2e.rig import Rig, new_seed, running_rig
from trueup.case_commands import command_on, send_commands

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KILLS = 5


@pytest.mark.timeout(900)
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
        assert faults_of_cases(rig)[:5] == []
        ((cases, acknowledged),) = rig.query("SELECT count(), sum(revision) FROM {db}.case_wide FINAL")
        assert (cases, acknowledged) == (len(rig.reader.discrepancy_keys()), accepted_commands(rig))
        assert isinstance(acknowledged, int)
        assert acknowledged > 0


def acknowledge_some(rig: Rig) -> None:
    """Commands that nobody waits for, a few of them twice."""
    client = connect(rig.settings.clickhouse)
    rows = client.query(
        f"SELECT * FROM {rig.settings.clickhouse.database}.v_cases WHERE revision = 0 LIMIT 20"
    ).named_results()
    commands = [command_on(row, "acknowledge", "ann", time.time_ns() // 1000) for row in rows]
    send_commands(rig.settings, client, commands + commands[:5], answer_seconds=0)
    client.close()


def accepted_commands(rig: Rig) -> object:
    """Commands that were accepted, as the audit log has them."""
    ((accepted,),) = rig.query("SELECT countIf(outcome = 'applied') FROM {db}.audit_log FINAL WHERE command_id != ''")
    return accepted
