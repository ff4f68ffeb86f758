"""The page about specs lists every key and every kind, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from reconcile.spec import declared
from reconcile.spec.expressions import AGGREGATES
from reconcile.spec.kinds.totals import KINDS as KINDS_OF_TOTALS

PAGE = Path("docs/specs.md").read_text(encoding="utf-8")
RULES = get_args(get_args(declared.DeclaredRule)[0])


def keys_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.split(f" {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows_of(text: str) -> list[list[str]]:
    """Cells of the tables, without their heads."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]
    return [row for row in rows if row[0] not in {"key", "kind", "write"}]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_-]+)`", text))


def test_every_key_of_file_group_and_leg_is_listed() -> None:
    def listed(title: str) -> set[str]:
        cells = " ".join(row[0] for row in rows_of(section(title)))
        return names_in(cells) | {name.split(".")[-1] for name in re.findall(r"`\[+([a-z.]+)\]+`", cells)}

    assert listed("The file") == keys_of(declared.DeclaredSpec)
    assert listed("A group") == keys_of(declared.DeclaredGroup)
    assert listed("A leg") == keys_of(declared.DeclaredLeg)
    assert keys_of(declared.DeclaredSubset) <= names_in(section("A group"))


def test_every_kind_of_rule_is_listed_with_its_keys() -> None:
    rows = {next(iter(names_in(row[0]))): row for row in rows_of(section("Rules")) if len(row) > 2}
    common = {name for row in rows_of(section("Rules")) if len(row) == 2 for name in names_in(row[0])}
    kinds = {get_args(rule.model_fields["kind"].annotation)[0]: rule for rule in RULES}
    assert rows.keys() == kinds.keys()
    assert set(KINDS_OF_TOTALS) <= kinds.keys()
    for kind, rule in kinds.items():
        own = keys_of(rule) - common
        assert own <= names_in(rows[kind][2]), kind


def test_every_aggregate_is_listed() -> None:
    assert {row[0][1:].partition("(")[0] for row in rows_of(section("Expressions"))} >= AGGREGATES
