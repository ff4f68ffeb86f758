"""The corrections and places that people give to `trueup quarantine`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cdc.mapping import Drop, Rename, Replace, SetValue
from clickhouse.quarantine_queries import QuarantineFilter
from trueup.cli import app
from trueup.cli.quarantine import mapping_options, which_messages
from trueup.model.errors import ConfigurationError, UnavailableError


def test_options_are_steps_behind_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mapping.json"
    file.write_text('[{"do": "rename", "field": "shopId", "to": "shop_id"}]')
    steps = mapping_options(
        file, rename=["a=b"], set_value=["count=7", 'text="7"', "amount=7.50", "none=null"], replace=["status:PAID=paid"],
        drop=["extra"],
    )  # fmt: skip
    assert steps == (
        Rename("shopId", "shop_id"), Rename("a", "b"), SetValue("count", 7), SetValue("text", "7"), SetValue("amount", "7.50"),
        SetValue("none", None), Replace("status", "PAID", "paid"), Drop("extra"),
    )  # fmt: skip
    assert mapping_options() == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rename": ["a"]}, "no NAME=VALUE"),
        ({"rename": ["a="]}, "name of a field"),
        ({"set_value": ["=7"]}, "no NAME=VALUE"),
        ({"replace": ["status"]}, "no NAME=VALUE"),
        ({"drop": [""]}, "name of a field"),
        ({"drop": ["a"] * 51}, "at most 50 steps"),
    ],
)
def test_what_is_no_correction_is_told(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        mapping_options(**given)
    assert caught.value.remedy


@pytest.mark.parametrize("text", [None, "", "{}", '[{"do": "fly"}]', '[{"do": "set", "field": "a", "value": 0.1}]'])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "mapping.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"mapping|step"):
        mapping_options(file)


def test_messages_are_meant_by_place_or_by_topic_and_code() -> None:
    assert which_messages("t:0:1").place == "t:0:1"
    assert which_messages(topic="t", code="c").chosen == QuarantineFilter("t", "c", only_waiting=True)
    for place, topic, code in [("", "", ""), ("t:0:1", "t", ""), ("", "t", ""), ("", "", "c"), ("t:0:1", "t", "c")]:
        with pytest.raises(ConfigurationError, match="either one place, or a topic and a code"):
            which_messages(place, topic, code)


def test_without_a_stack_it_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["quarantine", "list", "--data-dir", str(tmp_path)])
    assert isinstance(done.exception, UnavailableError)
