"""`trueup up`, `status`, `trace` and `totals` on a running stack, and what a user's mistake leads to."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from clickhouse.client import connect
from tests.e2e.command import alive, started, trueup
from trueup.model.errors import UnavailableError
from trueup.stack_files import running_settings
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run

pytestmark = [pytest.mark.integration]

UP_SECONDS = 240.0
ARRIVED_SECONDS = 60.0


def assert_told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit status 2 and an error in words on standard error."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    text = " ".join(done.stderr.split())
    assert [word for word in words if word not in text] == [], text


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a running stack, and some orders in it, below `.trueup`."""
    directory = tmp_path_factory.mktemp("home")
    with started("up", "--workers", "1", cwd=directory) as stack:
        deadline = time.monotonic() + UP_SECONDS
        while "ready (Ctrl-C" not in " ".join(stack.stderr.split()):
            assert stack.process.poll() is None, stack.end_of_output()
            assert time.monotonic() < deadline, stack.end_of_output()
            time.sleep(0.2)
        settings, _ = running_settings(directory / ".trueup")
        source = settings.source
        password = source.password.get_secret_value()
        dsn = f"host={source.host} port={source.port} user={source.user} dbname={source.database} password={password}"
        run(dsn, WorkloadPlan(orders=200, charging=True))
        wait_until_known(directory)
        yield directory
        children = stack.children()
        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(60) == 0, stack.end_of_output()
        assert alive(children) == []
        assert "Traceback" not in stack.stderr
    with pytest.raises(UnavailableError):
        running_settings(directory / ".trueup")


def wait_until_known(home: Path) -> None:
    deadline = time.monotonic() + ARRIVED_SECONDS
    while sum(json_of("status", home=home)["orders"].values()) < 200:
        assert time.monotonic() < deadline, json_of("status", home=home)


def json_of(*words: str, home: Path) -> dict[str, Any]:
    done = trueup(*words, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_status_shows_services_lag_and_verdicts(home: Path) -> None:
    found = json_of("status", home=home)
    states = {service["name"]: service["state"] for service in found["services"]}
    names = ("postgres", "kafka", "clickhouse", "cdc", "worker-1", "dashboard")
    assert states == dict.fromkeys(names, "ready")
    assert sum(found["orders"].values()) == 200
    assert found["quarantine"] == {}
    assert 0 <= found["watermark_lag_seconds"] < ARRIVED_SECONDS
    shown = trueup("status", cwd=home)
    assert shown.returncode == 0
    assert "Kafka lag" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trace_tells_the_story_of_one_order(home: Path) -> None:
    found = json_of("trace", "1", home=home)
    assert {leg["table"] for leg in found["legs"]} >= {"orders"}
    whats = [event["what"] for event in found["events"]]
    assert whats.index("insert orders") == 0
    times = [event["at"] for event in found["events"]]
    assert times == sorted(times)
    shown = trueup("trace", "1", cwd=home)
    assert shown.returncode == 0
    assert "in time order" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_charge_reads_the_factors_of_an_order(home: Path) -> None:
    settings, _ = running_settings(home / ".trueup")
    client = connect(settings.clickhouse)
    ((order_id, net),) = client.query(
        f"SELECT toString(order_id), toString(gross_amount - tax_amount - fee_amount) "
        f"FROM {settings.clickhouse.database}.orders FINAL WHERE factors LIKE '%vehicle%' ORDER BY order_id LIMIT 1"
    ).result_rows
    client.close()
    found = json_of("charge", order_id, "--spec", "carrier", home=home)
    ((party, charged),) = [(one["party"], one["net"]) for one in found["nets"]]
    assert (found["order"], party, Decimal(charged)) == (order_id, "carrier", Decimal(net))
    shown = trueup("charge", order_id, "--spec", "carrier", "--explain", cwd=home)
    assert shown.returncode == 0
    assert "freight = base * ratio * repeat" in shown.stdout
    assert_told(trueup("charge", "999999999", "--spec", "carrier", cwd=home), "999999999", "not known")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_totals_stand_beside_the_upstream_amount(home: Path) -> None:
    found = json_of("totals", "1", home=home)
    statement = found["statement"]
    assert found["totals"]
    assert statement["upstream_amount"] == statement["running_amount"]
    shown = trueup("totals", "1", cwd=home)
    assert shown.returncode == 0
    assert "running total" in shown.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("unknown", ["4711000000", "no such id", "-1", "'; DROP TABLE x", "9" * 40])
def test_unknown_ids_are_told(unknown: str, home: Path) -> None:
    assert_told(trueup("trace", "--", unknown, cwd=home), f"order {unknown} is not known", "to do:")
    assert_told(trueup("totals", "--", unknown, cwd=home), f"statement {unknown} is not known", "to do:")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_second_stack_on_the_same_directory_is_refused(home: Path) -> None:
    done = trueup("up", cwd=home)
    assert_told(done, "in use by the process with pid", "stop that process, or choose another data directory")
    assert json_of("status", home=home)["services"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("words", [("status",), ("trace", "1"), ("totals", "1")])
def test_without_a_stack_it_is_told_how_to_start_one(words: tuple[str, ...], tmp_path: Path) -> None:
    assert_told(trueup(*words, cwd=tmp_path), "no stack is running here", "trueup up")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "words",
    [
        ("status", "--colour"),
        ("no-such-command",),
        ("trace",),
        ("demo", "--orders", "many"),
        ("demo", "--orders", "5"),
        ("up", "--broker", "carrier-pigeon"),
        ("up", "--partitions", "0"),
    ],
)
def test_mistakes_on_the_command_line_are_told(words: tuple[str, ...], tmp_path: Path) -> None:
    done = trueup(*words, cwd=tmp_path)
    assert_told(done, "Usage:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[kafka]\npartitions = 0\n", "kafka.partitions"),
        ("[kafka]\nbroker = 'x'\n", "kafka.broker"),
        ("[rules]\ngrace_seconds = 'long'\n", "rules.grace_seconds"),
        ("colour = 'red'\n", "colour"),
        ("[kafka\n", "trueup.toml"),
        ("kafka = 5\n", "kafka"),
    ],
)
def test_a_bad_setting_is_told_by_its_name(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text(text)
    assert_told(trueup("up", "--data-dir", str(tmp_path / "data"), cwd=tmp_path), told)


@pytest.mark.timeout(300)
def test_a_bad_variable_is_told_by_its_name(tmp_path: Path) -> None:
    done = trueup("up", cwd=tmp_path, TRUEUP_KAFKA__PARTITIONS="none")
    assert_told(done, "kafka.partitions")
    done = trueup("up", cwd=tmp_path, TRUEUP_KAFKA="{not json")
    assert_told(done, "kafka")


@pytest.mark.timeout(300)
def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert_told(trueup("up", "--data-dir", str(tmp_path / "file" / "data"), cwd=tmp_path), str(tmp_path / "file"))
