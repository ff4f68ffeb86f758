"""`trueup check` tells every error of the settings at once: its name, its variable or line, and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trueup.checking.settings_check import SettingsRead, given_settings, read_settings
from trueup.model.faults import Fault
from trueup.settings import Settings

FILE = """\
specs = ["settlement"]
[source]
port = 700000
hots = "localhost"
[kafka]
partitions = 0
[cases.waive_limit]
EUR = "10"
[sorce]
host = "localhost"
"""


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("TRUEUP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def places(read: SettingsRead) -> dict[str, str]:
    return {fault.what: fault.where for fault in read.faults}


def test_without_a_file_everything_is_at_its_defaults() -> None:
    read = read_settings()
    assert (read.settings.model_dump(), *read[1:]) == (Settings().model_dump(), [], frozenset())


def test_every_error_of_the_file_is_told_with_its_line() -> None:
    Path("trueup.toml").write_text(FILE, encoding="utf-8")
    read = read_settings()
    assert {what.partition(":")[0]: where for what, where in places(read).items()} == {
        "setting source.port": "trueup.toml, line 3",
        "there is no setting source.hots": "trueup.toml, line 4",
        "setting kafka.partitions": "trueup.toml, line 6",
        "setting cases.waive_limit": "trueup.toml, line 7",
        "there is no setting sorce": "trueup.toml, line 9",
    }
    assert {fault.what: fault.remedy for fault in read.faults}["there is no setting sorce"] == "did you mean source?"
    assert all(fault.remedy for fault in read.faults)
    assert read.unusable == {"source", "kafka", "cases", "sorce"}
    assert read.settings.model_dump() == given_settings({}).model_dump()


def test_every_error_of_the_environment_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TRUEUP_CLICKHOUSE__PORT": "abc",
        "TRUEUP_STREAMS": "{no json",
        "TRUEUP_RULES__STUCK_SECONDS": "{no json",
        "TRUEUP_SORCE__PORT": "5432",
        "TRUEUP_SOURCE__PORT": "5433",
    }.items():
        monkeypatch.setenv(name, value)
    read = read_settings()
    assert sorted(fault.where for fault in read.faults) == [
        "variable TRUEUP_CLICKHOUSE__PORT",
        "variable TRUEUP_RULES__STUCK_SECONDS",
        "variable TRUEUP_SORCE__PORT",
        "variable TRUEUP_STREAMS",
    ]
    assert read.settings.source.port == 5433
    assert read.unusable == {"clickhouse", "streams", "rules"}


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("trueup.toml").write_text("[source]\nport = 1\n", encoding="utf-8")
    monkeypatch.setenv("TRUEUP_SOURCE__PORT", "0")
    assert [fault.where for fault in read_settings().faults] == ["variable TRUEUP_SOURCE__PORT"]


def test_a_file_that_is_no_toml_is_one_error() -> None:
    Path("trueup.toml").write_text("specs = []\n[source\n", encoding="utf-8")
    read = read_settings()
    (fault,) = read.faults
    assert fault.where == "trueup.toml, line 2"
    assert read.unusable == Settings.model_fields.keys()


def test_no_value_is_repeated_that_may_be_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_CLICKHOUSE", '{"password": {"hunter2": 1}, "prot": "hunter2"}')
    faults = read_settings().faults
    assert len(faults) == 2
    assert "hunter2" not in repr(faults)
    assert Fault("there is no setting clickhouse.prot", "variable TRUEUP_CLICKHOUSE", "did you mean port?") in faults
