"""`trueup check` says what a spec is made of, or everything that is wrong with it and with the settings."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from tests.spec_books import HEAD, rule_text
from trueup.cli import app

LINE = 50
"""Where the spec is wrong."""


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text(f"{HEAD}\n{rule_text('stuck', leg='bank')}\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8").splitlines()[LINE - 1].startswith("leg = ")
    return path


def test_a_spec_in_order_is_summed_up() -> None:
    status, shown = run("--spec", "settlement")
    assert status == 0
    assert "settlement version 1 is in order" in shown
    assert "missing-billing" in shown


def test_a_charging_spec_is_checked_as_such() -> None:
    assert run("--spec", "carrier") == (0, "charging spec carrier is in order.\n")


def test_errors_come_with_line_and_remedy(bad: Path) -> None:
    status, shown = run("--spec", str(bad))
    assert status == 1
    assert "error: rule it: it needs a leg with a status" in shown
    assert f"line {LINE}" in shown
    assert "to do: name the column" in shown


def test_json_tells_the_same(bad: Path) -> None:
    status, shown = run("--spec", str(bad), "--json")
    (error,) = orjson.loads(shown)["errors"]
    assert (status, error["line"], error["file"]) == (1, LINE, str(bad))
    status, shown = run("--spec", "settlement", "--json")
    (spec,) = orjson.loads(shown)["specs"]
    assert (status, spec["name"], [group["name"] for group in spec["groups"]]) == (
        0, "settlement", ["orders", "statements"]
    )  # fmt: skip


def test_the_generated_functions_can_be_read() -> None:
    status, shown = run("--spec", "settlement", "--source")
    assert status == 0
    assert shown.count("def judge(key, ") == 2
    compile(shown, "shown", "exec")


def test_everything_is_checked_that_can_be(bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUEUP_SPECS", orjson.dumps(["settlement", str(bad)]).decode())
    for variable in ("TRUEUP_SOURCE__PORT", "TRUEUP_KAFKA__PARTITIONS", "TRUEUP_CLICKHOUSE__PORT"):
        monkeypatch.setenv(variable, "0")
    status, shown = run()
    assert status == 1
    assert "error: rule it: it needs a leg with a status" in shown
    assert f"where: {bad}, line {LINE}" in shown
    assert "spec settlement version 1" in shown
    assert "where: variable TRUEUP_KAFKA__PARTITIONS" in shown
    assert "? topics  not looked at: the settings of source, kafka cannot be used" in shown
    assert shown.endswith("4 errors\n")
    status, shown = run("--json")
    document = orjson.loads(shown)
    assert (status, document["is_in_order"]) == (1, False)
    assert [(part["name"], len(part["errors"]), bool(part["skipped"])) for part in document["parts"]] == [
        ("settings", 3, False), ("specs", 1, False), ("source", 0, True), ("topics", 0, True), ("ClickHouse", 0, True)
    ]  # fmt: skip
