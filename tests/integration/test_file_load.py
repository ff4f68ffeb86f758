"""docs/files.md as a user follows it, on a running stack; and loads that are killed on the way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest

from cdc.delivery import end_offsets
from clickhouse.client import connect
from tests.file_desk import DAILY
from tests.integration.cdc_stack import read_topics
from trueup.settings import StreamSettings
from trueup.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"
WAIT_SECONDS = 180.0
PARTITIONS = 4
ROWS = 60_000
TOPIC = "wepay.files.lines"
PAYOUTS = """
INSERT INTO payout (payout_id, statement_id, shop_id, payment_method, amount, currency, status, updated_at) VALUES
    (1, 1, 1, 'wepay', 1234.50, 'EUR', 'paid', now()), (2, 2, 1, 'wepay', -79.00, 'EUR', 'paid', now())
"""


def wait_until(what: str, condition: Callable[[], bool], pause_seconds: float = 0.1) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS:.0f} s: {what}"
        time.sleep(pause_seconds)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("files")
    mapping, spec = blocks("toml")
    (directory / "wepay.toml").write_text(mapping)
    (directory / "channel.toml").write_text(spec)
    (directory / "daily.toml").write_text(DAILY)
    (directory / "trueup.toml").write_text('specs = ["settlement", "channel.toml"]\n')
    (directory / "wepay_20260723.csv").write_text(blocks("csv")[0])
    with contextlib.chdir(directory):
        made = Stack(directory / ".trueup", partitions=PARTITIONS, streams=StreamSettings(flush_interval_seconds=0.5))
        with made.running():
            yield made


def start(stack: Stack, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trueup.cli", "files", *words],
        cwd=stack.data_dir.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(stack: Stack, *words: str, status: int = 0) -> str:
    process = start(stack, *words)
    told, wrong = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == status, wrong
    return told


@pytest.mark.timeout(800)
def test_the_page_leads_to_a_discrepancy_and_its_end(stack: Stack) -> None:
    directory = stack.data_dir.parent
    with contextlib.closing(psycopg2.connect(stack.postgres.dsn())) as connection:
        with connection.cursor() as cursor:
            cursor.execute(PAYOUTS)
        connection.commit()
    for command in re.findall(r"^trueup files (\S+)([^#\n]*)", blocks("bash")[0], re.MULTILINE):
        run(stack, command[0], *command[1].split())

    client = connect(stack.settings.clickhouse)
    query = "SELECT rule, status, expected, actual FROM trueup.v_discrepancies WHERE entity_kind LIKE 'channel.%' OR spec = 'channel'"

    def found() -> list[tuple[Any, ...]]:
        return [
            (rule, status, int(expected), int(actual))
            for rule, status, expected, actual in client.query(query).result_rows
        ]

    wait_until("the discrepancy", lambda: found() == [("settled-otherwise", "open", -79, -80)])
    corrected = (directory / "wepay_20260723.csv").read_text().replace("80,00", "79,00").replace("1.154,50", "1.155,50")
    (directory / "wepay_20260723_v2.csv").write_text(corrected)
    told = orjson.loads(run(stack, "load", "wepay_20260723_v2.csv", "--mapping", "wepay.toml", "--json"))
    assert (told["outcome"], told["created"], told["updated"], told["deleted"]) == ("replaced", 0, 1, 0)
    wait_until("it resolves", lambda: found() == [("settled-otherwise", "auto-resolved", -79, -80)])
    assert client.query("SELECT count() FROM trueup.v_quarantine").result_rows == [(0,)]
    client.close()
    listed = orjson.loads(run(stack, "list", "--json"))
    assert [(one["file"], one["state"]) for one in listed if one["table"] != TOPIC] == [
        ("wepay_20260723.csv", "replaced"), ("wepay_20260723_v2.csv", "loaded"),
    ]  # fmt: skip
    refused = orjson.loads(run(stack, "load", "wepay_20260723_v2.csv", "--mapping", "wepay.toml", "--json", status=1))
    assert refused["problem_count"] == 1
    assert "is loaded already" in refused["problems"][0]["what"]


def write_day(path: Path, amounts: dict[str, int]) -> None:
    rows = "".join(f"{reference},{amount},JPY\n" for reference, amount in amounts.items())
    path.write_text(f"reference,amount,currency\n{rows}END,{len(amounts)},{sum(amounts.values())},JPY\n")


def sent(stack: Stack) -> int:
    return sum(end_offsets(stack.settings.kafka.bootstrap, [TOPIC])[TOPIC])


def stop_half_way(stack: Stack, process: subprocess.Popen[str]) -> None:
    """Let a load go on for moments, until some of its rows are sent: it needs less than a second for all of them."""
    before = sent(stack)

    def has_begun() -> bool:
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGSTOP)
        return sent(stack) > before

    wait_until("the first rows are sent", has_begun, pause_seconds=0)


@pytest.mark.timeout(800)
def test_a_killed_load_and_its_correction_end_in_the_right_rows(stack: Stack) -> None:
    directory = stack.data_dir.parent
    first = {f"R-{number}": number for number in range(ROWS)}
    second = {reference: amount * 2 if amount % 3 else amount for reference, amount in first.items() if amount % 5}
    write_day(directory / "day_1.csv", {"R-0": 1})
    run(stack, "load", "day_1.csv", "--mapping", "daily.toml")
    write_day(directory / "day_1_v2.csv", first)
    process = start(stack, "load", "day_1_v2.csv", "--mapping", "daily.toml")
    stop_half_way(stack, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was killed on the way"
    states = [one["state"] for one in orjson.loads(run(stack, "list", "--json")) if one["table"] == TOPIC]
    assert states == ["loaded", "sending"]
    assert run(stack, "finish") == "1 loads finished\n"
    write_day(directory / "day_1_v3.csv", second)
    run(stack, "load", "day_1_v3.csv", "--mapping", "daily.toml")

    by_version: dict[tuple[bytes, int], bytes] = {}
    newest: dict[str, tuple[int, Any]] = {}
    for message in read_topics(stack.settings.kafka.bootstrap, (TOPIC,)):
        value = orjson.loads(message.value)
        version = value["source"]["lsn"]
        assert by_version.setdefault((message.key, version), message.value) == message.value, "a repeat is the same"
        reference = orjson.loads(message.key)["reference"]
        newest[reference] = max(newest.get(reference, (0, None)), (version, value["after"]), key=lambda one: one[0])
    live = {reference: int(row["amount"]) for reference, (_, row) in newest.items() if row is not None}
    assert live == second
