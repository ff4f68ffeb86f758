"""`trueup discrepancies` on a running stack: found, looked at, steered by several people, one by one and many at once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cdc.delivery import end_offsets
from streams.case_partition import COMMANDS_TOPIC
from tests.e2e.command import command, environment, trueup
from tests.e2e.rig import Rig, running_rig

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

WAIT_SECONDS = 180.0
RULE = "wrong-billing-amount"
DOLLARS = range(700_001, 700_005)
YEN = range(700_101, 700_113)

ORDER = "INSERT INTO orders VALUES ({id}, 9, '{currency}', {gross}, {tax}, {fee}, NULL, 'completed', now(), now());"
ITEM = "INSERT INTO billing_item VALUES ({id}, {id}, 9, 1, 'sale', '1', {billed}, '{currency}', 'statemented', now(), now());"
BOOKS = "\n".join(
    (ORDER + ITEM).format(id=number, currency=currency, gross=gross, tax=10, fee=10, billed=billed)
    for numbers, currency, gross, billed in ((DOLLARS, "USD", 100, 300), (YEN, "JPY", 1_000, 1_030))
    for number in numbers
)


class Desk:
    """People at terminals before one stack."""

    def __init__(self, rig: Rig, directory: Path) -> None:
        self.rig = rig
        self.directory = directory
        self.words = ("--data-dir", str(rig.stack.data_dir))
        self.months: list[str] = []
        """In which all were raised: one, or two around the end of a month."""

    def call(self, *words: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
        """A command without a terminal."""
        done = trueup("discrepancies", *words, *self.words, cwd=self.directory, COLUMNS=str(columns))
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """The rows of a list."""
        done = self.call("list", "--rule", RULE, *words, "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = orjson.loads(done.stdout)["rows"]
        return found

    def of_order(self, order: int) -> dict[str, Any]:
        """The discrepancy of one order."""
        (row,) = self.rows("--standing", "all", "--order", str(order))
        return row

    def give(self, *words: str, status: int = 0) -> dict[str, Any]:
        """The outcome of a decision about one discrepancy."""
        done = self.call(*words, "--json")
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        (outcome,) = orjson.loads(done.stdout)["outcomes"]
        found: dict[str, Any] = outcome
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    directory = tmp_path_factory.mktemp("desk")
    with running_rig(directory / "stack", workers=1) as rig:
        began = datetime.now(UTC)
        with rig.source() as connection, connection, connection.cursor() as cursor:
            cursor.execute(BOOKS)
        desk = Desk(rig, directory)
        rig.wait("all are raised", lambda: len(desk.rows()) == len(DOLLARS) + len(YEN), WAIT_SECONDS, "worker")
        desk.months = sorted({f"{at:%Y-%m}" for at in (began, datetime.now(UTC))})
        yield desk


def test_a_list_has_filters_and_pages(desk: Desk) -> None:
    yen = desk.rows("--currency", "JPY", "--standing", "all")
    assert {row["in_question"] for row in yen} == {"50"}
    assert len(desk.rows("--min-amount", "50", "--standing", "all")) == len(DOLLARS) + len(YEN)
    assert {row["currency"] for row in desk.rows("--min-amount", "50.01", "--standing", "all")} == {"USD"}
    assert desk.rows("--older-than", "1d", "--standing", "all") == []
    of_months = [desk.rows("--period", month, "--currency", "jpy", "--standing", "all") for month in desk.months]
    assert sum(map(len, of_months)) == len(YEN)
    first = desk.call("list", "--standing", "all", "--rule", RULE, "--limit", "9", "--sort", "amount")
    cursor = first.stdout.split("more: --after ")[1].strip()
    rest = desk.rows("--standing", "all", "--sort", "amount", "--after", cursor)
    assert len(rest) == len(DOLLARS) + len(YEN) - 9
    assert {row["in_question"] for row in rest} == {"50"}


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_the_terminal(desk: Desk, width: int) -> None:
    done = desk.call("list", "--standing", "all", "--rule", RULE, columns=width)
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(DOLLARS) + len(YEN)
    assert max(map(len, lines)) <= width
    assert "220.00 USD" in done.stdout
    assert "50 JPY" in done.stdout


def test_one_discrepancy_is_told_whole(desk: Desk) -> None:
    row = desk.of_order(DOLLARS[3])
    done = desk.call("show", row["discrepancy_id"], "--json")
    story = orjson.loads(done.stdout)
    assert [story[name] for name in ("expected", "actual", "delta")] == ["80.00", "300.00", "220.00"]
    assert {leg["table"] for leg in story["evidence"]} >= {"orders", "billing_item"}
    ((number, period),) = [(one["number"], one["period"]) for one in story["raises"]]
    assert number == 1
    assert period in desk.months
    assert story["timeline"][0]["kind"] == "raised"
    assert story["cause"]
    shown = desk.call("show", row["discrepancy_id"][:8])
    assert shown.returncode == 0
    assert "80.00 USD expected, 300.00 USD found: 220.00 USD" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_a_discrepancy_is_steered(desk: Desk) -> None:
    row = desk.of_order(DOLLARS[0])
    identifier = row["discrepancy_id"][:10]
    assert desk.give("ack", identifier)["standing"] == "acknowledged"
    stale = desk.give("assign", identifier, "--to", "bob", "--revision", str(row["revision"]), status=1)
    assert (stale["result"], stale["standing"]) == ("refused", "acknowledged")
    assert "at revision 1 (acknowledged)" in stale["reason"]
    assert desk.give("assign", identifier, "--to", "bob")["standing"] == "assigned"
    assert desk.give("snooze", identifier, "--until", "3d")["standing"] == "snoozed"
    assert desk.give("unsnooze", identifier)["standing"] == "assigned"
    assert desk.give("waive", identifier, "--note", "agreed", "--as", "ann")["standing"] == "waive-requested"
    alone = desk.call("approve", identifier, "--as", "ann")
    assert alone.returncode == 1
    assert "approved by another person" in alone.stdout
    assert "now waive-requested" in alone.stdout
    assert desk.give("approve", identifier, "--as", "bob")["standing"] == "waived"
    assert desk.give("reopen", identifier)["standing"] == "assigned"
    assert desk.give("resolve", identifier, "--note", "paid in cash")["standing"] == "resolved"
    assert desk.give("reopen", identifier)["standing"] == "assigned"
    assert desk.give("comment", identifier, "--note", "look again", "--as", "cid")["result"] == "applied"
    story = orjson.loads(desk.call("show", identifier, "--json").stdout)
    assert [note["note"] for note in story["comment_notes"]] == ["look again"]
    refused = [step["kind"] for step in story["timeline"] if step["outcome"] == "refused"]
    assert refused == ["assign", "approve"]
    assert story["revision"] == len(story["timeline"]) - 1 - len(refused)
    shown = desk.call("show", identifier)
    assert "bob deals with it" in shown.stdout
    assert "(refused)" in shown.stdout


def test_many_are_decided_at_once(desk: Desk) -> None:
    chosen = ("--all-matching", "--currency", "JPY", "--rule", RULE)
    unasked = desk.call("waive", *chosen, "--note", "too small")
    assert unasked.returncode == 2
    assert "12 discrepancies, 600 JPY" in " ".join(unasked.stderr.split())
    done = desk.call("waive", *chosen, "--note", "too small", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "12 applied"), done.stdout
    assert {row["standing"] for row in desk.rows("--currency", "JPY", "--standing", "all")} == {"waived"}
    again = desk.call("waive", *chosen, "--note", "too small", "--yes")
    assert again.returncode == 2
    assert "nothing matches" in again.stderr
    assert desk.call("reopen", *chosen, "--yes").returncode == 0


def test_somebody_else_is_faster(desk: Desk) -> None:
    """Between the question and the answer another person decides."""
    identifier = desk.of_order(DOLLARS[1])["discrepancy_id"]
    chosen = ("--all-matching", "--order", str(DOLLARS[1]), "--rule", RULE)
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command("discrepancies", "ack", *chosen, *desk.words), cwd=desk.directory, env=environment(), stdin=theirs,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        asked = ""
        deadline = time.monotonic() + WAIT_SECONDS
        while "Go on?" not in asked and time.monotonic() < deadline:
            asked += process.stderr.read(1)
        assert "acknowledge: 1 discrepancy, 220.00 USD" in asked
        assert desk.give("assign", identifier, "--to", "bob")["standing"] == "assigned"
        os.write(ours, b"y\n")
        out, _ = process.communicate(timeout=WAIT_SECONDS)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 1
    assert "refused (it was decided at revision 0" in out
    assert "now assigned" in out


def test_ctrl_c_says_what_was_sent(desk: Desk) -> None:
    identifier = desk.of_order(DOLLARS[2])["discrepancy_id"]
    desk.rig.supervisor.pause("worker-1")
    try:
        # A shell that runs the tests in the background lets its children ignore the signal.
        process = subprocess.Popen(
            ["env", "--default-signal=INT", *command("discrepancies", "ack", identifier, *desk.words)],
            cwd=desk.directory, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        desk.rig.wait("the command is on its way", lambda: commands_sent(desk.rig) > 0, WAIT_SECONDS)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=WAIT_SECONDS)
    finally:
        desk.rig.supervisor.resume("worker-1")
    assert process.returncode == 130
    assert "unanswered (it may still be applied): now open" in out
    assert "1 unanswered; broken off" in out
    desk.rig.wait(
        "it is applied", lambda: desk.of_order(DOLLARS[2])["standing"] == "acknowledged", WAIT_SECONDS, "worker"
    )


def commands_sent(rig: Rig) -> int:
    """Commands in Kafka that the workers have not answered yet."""
    sent = sum(end_offsets(rig.settings.kafka.bootstrap, [COMMANDS_TOPIC])[COMMANDS_TOPIC])
    ((answered,),) = rig.query(f"SELECT count() FROM {{db}}.audit_log FINAL WHERE topic = '{COMMANDS_TOPIC}'")
    assert isinstance(answered, int)
    return sent - answered


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "0" * 32), "no discrepancy is called 0000"),
        (("ack", "0" * 32), "no discrepancy is called 0000"),
        (("list", "--rule", "wrong-biling-amount"), "did you mean wrong-billing-amount?"),
        (("ack", "--all-matching", "--yes", "--rule", "nonsense"), "rule 'nonsense' is not known"),
    ],
)
def test_mistakes_are_told(desk: Desk, words: tuple[str, ...], told: str) -> None:
    done = desk.call(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in " ".join(done.stderr.split())
    assert "to do:" in done.stderr
