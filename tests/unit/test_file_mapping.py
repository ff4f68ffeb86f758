"""Mappings of files: what is wrong is told at once, each with its line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.files.mapping_file import load_mapping, read_mapping
from cdc.files.refusals import MappingRefused
from tests.file_desk import DAILY

HEAD = 'channel = "wepay"\ntable = "lines"\nformat = "{format}"\nkey = ["a"]\n[file]\nname = "(?P<id>.*)"\nmd5 = "beside"\n'


def refusals(text: str) -> list[tuple[int, str]]:
    with pytest.raises(MappingRefused) as refused:
        read_mapping(text, file="m.toml")
    assert all(problem.remedy for problem in refused.value.problems)
    return [(problem.line, problem.what) for problem in refused.value.problems]


def columns(text: str, format_name: str = "csv") -> list[tuple[int, str]]:
    """What is told of columns whose first one stands in line 9."""
    return refusals(HEAD.format(format=format_name) + "[columns]\n" + text)


def test_a_mapping_is_read() -> None:
    mapping = read_mapping(DAILY, file="m.toml")
    assert (mapping.topic, mapping.totalled_column) == ("wepay.files.lines", "amount")


def test_every_problem_is_told_with_its_line() -> None:
    told = columns('b = { from = 1, kind = "monney" }\nc = { from = 0 }\nd = { frm = 2 }\n')
    assert [line for line, _ in told] == sorted(line for line, _ in told)
    assert {line for line, _ in told} == {9, 10, 11}
    assert any("monney" in what for _, what in told)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a = { kind = 'text' }\n", 9, "neither or both"),
        ("a = { from = 1 }\nb = { from = 2, kind = 'money' }\n", 8, "one column of the kind currency"),
        ("a = { from = 1 }\nb = { from = 2, kind = 'time' }\n", 10, "no time zone"),
        ("a = { from = 1 }\nb = { from = 2, kind = 'time', zone = 'Mars/Base' }\n", 10, "is no time zone"),
        ("a = { from = 1 }\nb = { from = 2, kind = 'date', format = '%d.%m' }\n", 10, "whole date"),
        ("a = { from = 1 }\nb = { value = 'EUX', kind = 'currency' }\n", 10, "no ISO-4217"),
        ("a = { from = [1, 4] }\n", 9, "is no field"),
        ("b = { from = 1 }\n", 4, "a is no column"),
    ],
)
def test_columns_that_make_no_sense(text: str, line: int, what: str) -> None:
    told = columns(text)
    assert [place for place, why in told if what in why] == [line]


def test_places_are_those_of_the_format() -> None:
    assert columns("a = { from = 'amt' }\n", "camt053")[0] == (9, "camt053 has no field 'amt'")
    wide = HEAD.format(format="fixed") + "[fixed]\nlength = 8\n[columns]\na = { from = [6, 4] }\nb = { from = 3 }\n"
    assert [what for _, what in refusals(wide)] == [
        "[6, 4] lies beyond the end of the line",
        "3 is no place of a fixed width",
    ]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("(?P<id>[0-9]+)", "[0-9]+", "no group"),
        ("[file]", "[file]\nencoding = 'utf-16'", "more than one byte"),
        ('[end]\nmark = "END"\ncount = 2\ntotal = 3\ncurrency = 4\n', "", "nothing tells a whole file"),
        ("currency = 4\n", "", "the total is in no currency"),
        ("[end]", "[numbers]\ndecimal = ','\nthousands = ','\n[end]", "the same character"),
        ("[end]", "[end", "not valid TOML"),
        ('channel = "wepay"', 'channel = "we.pay"', "channel"),
    ],
)
def test_files_that_could_not_be_checked(old: str, new: str, what: str) -> None:
    assert any(what in told for _, told in refusals(DAILY.replace(old, new)))


def test_a_mapping_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MappingRefused, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")
