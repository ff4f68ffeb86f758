"""`trueup charge` without a running stack: what it prints, as tables, trees and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trueup.cli import app
from trueup.model.errors import ConfigurationError, UnavailableError

FACTORS = '{"service": "delivery", "vehicle": "van", "stops": 22, "km": "62.5", "weight_t": "0.6", "damage": "12.345"}'


@pytest.fixture(autouse=True)
def _outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["charge", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["charge", *arguments])
    assert isinstance(result.exception, ConfigurationError)
    return result.exception.what


def test_the_steps_end_in_the_fee() -> None:
    # 120 + 7 × 3.50 + 22.5 × 1.20 + 0.3 × 85 = 197; × 0.6/0.48 = 246.25.
    text = printed("--spec", "carrier", "--factors", FACTORS, "--explain")
    assert "freight = base * ratio * repeat  = 246.25" in text
    assert "├── base = start_price + stop_fee + km_fee + weight_fee + reverse_fee  = 197" in text
    assert "stops / 30  = 0.733333333333…" in text
    assert "233.90" in text


def test_json_holds_amounts_as_text_and_every_digit() -> None:
    found = json.loads(printed("--spec", "carrier", "--factors", FACTORS, "--explain", "--json"))
    assert found["nets"] == [
        {"party": "carrier", "currency": "CNY", "payable": "246.25", "receivable": "12.35", "net": "233.90"}
    ]
    assert [fee["amount"] for fee in found["fees"]] == ["246.25", "0.00", "12.35"]
    assert [step["value"] for step in found["steps"]] == ["246.25", "0", "12.345"]
    assert "steps" not in json.loads(printed("--spec", "carrier", "--factors", FACTORS, "--json"))


def test_factors_that_no_rule_is_meant_for_are_told_so() -> None:
    text = printed("--spec", "carrier", "--factors", '{"service": "delivery", "vehicle": "bike"}')
    assert "no rule is meant for it" in text
    assert "rule van: vehicle == 'van' does not hold" in text


def test_the_setting_names_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_CHARGING__SPEC", "carrier")
    assert "carrier version 1" in printed("--factors", FACTORS)


def test_mistakes_are_told_in_words() -> None:
    assert refused() == "give either an order or factors"
    assert refused("17", "--factors", "{}") == "give either an order or factors"
    assert refused("--factors", "{}") == "there is no charging spec"
    assert refused("--factors", "{}", "--spec", "nowhere.toml") == "the file does not exist"
    assert refused("--factors", "{", "--spec", "carrier").startswith("the factors are no valid JSON")


def test_an_order_needs_a_running_stack() -> None:
    result = CliRunner().invoke(app, ["charge", "17", "--spec", "carrier"])
    assert isinstance(result.exception, UnavailableError | ConfigurationError)
