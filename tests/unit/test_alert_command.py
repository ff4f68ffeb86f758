"""`trueup alerts` as a person meets it: a file with errors, messages that were given up."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from dashboards.alerts.channels.exchange import Answer
from dashboards.alerts.intake import take_in
from dashboards.store import open_store, store_url
from tests.alert_books import (
    CHANNEL,
    HEAD,
    NOW_US,
    ROUTE,
    URGENCY,
    Clock,
    Outside,
    alerts_of,
    courier,
    incoming,
    send_all,
)
from trueup.cli.alerts import alerts
from trueup.model.errors import ConfigurationError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alerts.toml").write_text(HEAD + CHANNEL + ROUTE)
    (tmp_path / ".trueup").mkdir()
    monkeypatch.setenv("TRUEUP_ALERTS__FILE", "alerts.toml")
    monkeypatch.setenv("OWN_URL", "https://alerts.example.com/hook")
    monkeypatch.setenv("OWN_SECRET", "s3cret")
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(alerts, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def give_up_two(directory: Path) -> None:
    store = open_store(store_url("", directory / ".trueup"))
    take_in(store, alerts_of(), URGENCY, [incoming(1, offset=0), incoming(2, offset=1)], NOW_US)
    clock = Clock()
    send_all(courier(store, alerts_of(), Outside(lambda _: Answer(404, {}, b"no_service")), clock), clock, 2)
    store.dispose()


def test_a_file_in_order_is_said_to_be(place: Path) -> None:
    assert run("check") == (0, "in order; routes: 1, channels: 1\n")


def test_every_error_is_printed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_URL", "https://elsewhere.example.com/hook")
    status, printed = run("check")
    assert status == 1
    assert "elsewhere.example.com:443 is not among the hosts" in printed
    assert "/hook" not in printed
    (place / "alerts.toml").write_text(HEAD + CHANNEL + ROUTE.replace("own", "owm"))
    status, printed = run("check", "--json")
    assert (status, orjson.loads(printed)["errors"][0]["remedy"]) == (1, "did you mean 'own'?")


def test_what_was_given_up_is_listed_sent_again_and_dropped(place: Path) -> None:
    give_up_two(place)
    letters = orjson.loads(run("dead", "list", "--json")[1])["letters"]
    assert [letter["reason"] for letter in letters] == ["HTTP 404: no_service"] * 2
    assert orjson.loads(run("status", "--json")[1])["channels"][0]["dead"] == 2
    assert run("dead", "retry", str(letters[0]["number"])) == (0, "1 will be sent again\n")
    assert run("dead", "drop", "--all") == (0, "1 put away\n")
    assert run("dead", "list") == (0, "nothing was given up\n")
    assert orjson.loads(run("status", "--json")[1])["channels"][0]["waiting"] == 1


def test_it_must_be_said_which_are_meant(place: Path) -> None:
    with pytest.raises(ConfigurationError, match="not said which"):
        run("dead", "drop")


def test_a_route_that_is_not_there_is_told(place: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no route 'al'"):
        run("test", "al")
