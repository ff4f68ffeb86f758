"""`trueup demo` as a script meets it: exit status, one JSON line, Ctrl-C."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.command import alive, started, trueup
from trueup.upstream.carrier import RUN_FAULT_KINDS
from trueup.upstream.faults import FAULT_KINDS
from trueup.upstream.second_site import SHARED_ID

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CTRL_C_SECONDS = 120.0


def outcome(stdout: str) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(stdout.splitlines()[-1])
    return result


def assert_clean(result: dict[str, Any]) -> None:
    wrong = ("missed", "false_open", "totals_wrong", "traps_sprung", "quarantined")
    assert {name: result[name] for name in wrong} == dict.fromkeys(wrong, 0), result["wrong"]
    assert result["planted"] == result["found"] > 0
    assert result["totals_checked"] > 0
    assert set(result["by_fault"]) == {*FAULT_KINDS, *RUN_FAULT_KINDS, SHARED_ID}
    assert all(score["planted"] == score["found"] > 0 for score in result["by_fault"].values())
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]


@pytest.mark.timeout(600)
def test_the_demo_finds_every_planted_fault(tmp_path: Path) -> None:
    done = trueup("demo", "--orders", "2000", "--json", cwd=tmp_path, seconds=280)
    assert done.returncode == 0, done.stderr[-4000:]
    result = outcome(done.stdout)
    assert result["orders"] == 2000
    assert result["changes"] > 10_000
    assert_clean(result)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
def test_the_demo_runs_on_the_broker_in_memory(tmp_path: Path) -> None:
    words = ("demo", "--broker", "memory", "--orders", "1200", "--workers", "1", "--seed", "3", "--json")
    done = trueup(*words, cwd=tmp_path, seconds=280)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "for a look only" in " ".join(done.stderr.split())
    assert_clean(outcome(done.stdout))


@pytest.mark.timeout(500)
@pytest.mark.parametrize("moment", ["starting", "trading"])
def test_ctrl_c_ends_the_demo_and_all_its_children(moment: str, tmp_path: Path) -> None:
    said = {"starting": "starting PostgreSQL", "trading": "orders are traded"}[moment]
    data = tmp_path / "data"
    with started("demo", "--orders", "20000", "--rate", "500", "--json", "--data-dir", str(data), cwd=tmp_path) as demo:
        deadline = time.monotonic() + 120
        while said not in " ".join(demo.stderr.split()):
            assert demo.process.poll() is None, demo.end_of_output()
            assert time.monotonic() < deadline, demo.end_of_output()
            time.sleep(0.2)
        time.sleep(2.0)
        # A busy machine says what it starts long before the first process is there.
        while not (children := demo.children()):
            assert demo.process.poll() is None, demo.end_of_output()
            assert time.monotonic() < deadline, demo.end_of_output()
            time.sleep(0.2)
        demo.process.send_signal(signal.SIGINT)
        status = demo.process.wait(CTRL_C_SECONDS)
        assert alive(children) == []
        assert status == 130, demo.end_of_output()
        assert "Traceback" not in demo.stderr
        assert demo.stdout == ""
