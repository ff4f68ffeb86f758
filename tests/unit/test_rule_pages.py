"""Every rule has a page that says what it means, shows it, and names causes that exist; the examples break the rules they are for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconcile.causes.amounts import Parts, cause_of_difference
from reconcile.causes.cause import CAUSES
from reconcile.settlement import rule_classes
from tests.rule_examples import rule_examples
from tests.rule_pages import INDEX, PAGES, queries_of, section_of

SECTIONS = ["See it", "Likely causes", "What to do"]


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert PAGES.keys() == rule_classes().keys()


def test_the_index_leads_to_every_page_once() -> None:
    linked = re.findall(r"\[([\w-]+)\]\(([\w-]+)\.md\)", INDEX.read_text(encoding="utf-8"))
    assert sorted(linked) == sorted((rule, rule) for rule in PAGES)


def test_every_rule_has_an_example_for_each_query() -> None:
    examples = rule_examples()
    assert {rule: len(queries_of(page)) for rule, page in PAGES.items()} == {
        rule: len(example.entity_ids) for rule, example in examples.items()
    }


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.stem)
def test_a_page_has_its_parts(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {page.stem}"
    assert [line[3:] for line in lines if line.startswith("## ")] == SECTIONS
    assert [title for title in SECTIONS if len(section_of(page, title)) < 40] == []
    assert all("{id:String}" in query for query in queries_of(page))


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.stem)
def test_likely_causes_are_causes_that_are_told(page: Path) -> None:
    causes = [line for line in section_of(page, "Likely causes").splitlines() if line.startswith("- ")]
    named = {name for line in causes for name in re.findall(r"`([\w-]+)`", line.partition(":")[0])}
    assert named
    assert named <= CAUSES.keys()


def test_the_index_lists_every_cause() -> None:
    listed = re.findall(r"^\| `([\w-]+)` \|", section_of(INDEX, "Likely causes"), re.MULTILINE)
    assert listed == list(CAUSES)


def test_the_figures_of_the_index_are_what_the_tests_say() -> None:
    rows = re.findall(
        r"^\| ([−\d,]+) \| `([\w-]+)` \| `([\w-]+)` \| `([\w-]+)` \|$", INDEX.read_text("utf-8"), re.MULTILINE
    )
    parts = Parts(fee_minor=120, tax_minor=70)
    for amount, *names in rows:
        actual = int(amount.replace("−", "-").replace(",", ""))
        found = [cause_of_difference(800, actual, currency, parts) for currency in ("USD", "JPY", "KWD")]
        assert [cause.name if cause else "unknown" for cause in found] == names, amount
    assert len(rows) == 7
