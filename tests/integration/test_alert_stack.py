"""Alerts of a whole running stack: what the books disagree on arrives, and is over when they agree again."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.alert_books import CHANNEL, HEAD, ROUTE
from tests.alert_servers import FarEnd, far_end
from tests.e2e.rig import Rig, new_seed, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WAIT_SECONDS = 180.0


def keys_of(server: FarEnd) -> Counter[str]:
    return Counter(got.headers["idempotency-key"] for got in server.got)


def alerts_command(rig: Rig, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "trueup.cli", "alerts", *words, "--data-dir", str(rig.stack.data_dir), "--json"]
    document: dict[str, Any] = orjson.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


@pytest.mark.timeout(900)
def test_what_the_books_disagree_on_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with far_end() as server:
        hosts = HEAD.replace('"127.0.0.1"]\nallow', f'"127.0.0.1:{server.port}"]\nallow')
        file = tmp_path / "alerts.toml"
        file.write_text(hosts + CHANNEL + "digest_above = 10000\n" + ROUTE.replace('"4h"', '"1s"'))
        monkeypatch.setenv("TRUEUP_ALERTS__FILE", str(file))
        monkeypatch.setenv("OWN_URL", f"http://127.0.0.1:{server.port}/hook")
        monkeypatch.setenv("OWN_SECRET", "s3cret")
        with running_rig(tmp_path / "data") as rig:
            with rig.load(new_seed()):
                rig.wait("alerts arrive", lambda: len(server.got) > 20, WAIT_SECONDS, "alerts", "worker")
                before = rig.states("alerts")[0]
                rig.supervisor.kill("alerts")
                rig.wait_restarted(before)
            rig.settle()
            cases = rig.query("SELECT discrepancy_id, occurrences, status FROM {db}.v_discrepancies")
            open_keys = {f"{case}:{number}:raised:own" for case, number, status in cases if status != "auto-resolved"}
            assert len(open_keys) > 20
            rig.wait("all have arrived", lambda: open_keys <= keys_of(server).keys(), WAIT_SECONDS, "alerts")
            reminders = {key.replace(":raised:", ":reminder-1:") for key in open_keys}
            rig.wait("all are reminded of", lambda: reminders <= keys_of(server).keys(), WAIT_SECONDS, "alerts")
            assert alerts_command(rig, "test", "all")["has_arrived"] is True
            (channel,) = alerts_command(rig, "status")["channels"]
            assert (channel["kind"], channel["dead"]) == ("webhook", 0)
            address = f"http://127.0.0.1:{rig.states('alerts')[0].port}/metrics"
            with urllib.request.urlopen(address, timeout=60) as answer:
                told = re.search(
                    r'^trueup_alerts_sent_total\{kind="webhook"\} (\S+)$', answer.read().decode(), re.MULTILINE
                )
            assert told is not None
            assert float(told[1]) > 0
    sent = keys_of(server)
    assert sum(sent.values()) - len(sent) <= 1
    over = {f"{case}:{number}" for case, number, status in cases if status == "auto-resolved"}
    for one in over:
        assert sent[f"{one}:raised:own"] == 0 or sent[f"{one}:resolved:own"] > 0
    assert not [key for key in open_keys if sent[key.replace(":raised:", ":resolved:")]]
