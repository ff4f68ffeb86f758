"""Later versions of the settlement spec for tests: made from the shipped text, as somebody who edits it would."""

from __future__ import annotations

import re
from importlib.resources import files

from reconcile.settlement import SettlementRules, settlement_rules
from reconcile.spec.load import read_spec
from tests.partition_bench import RULES, TOLERANCES

TEXT = files("reconcile.specs").joinpath("settlement.toml").read_text(encoding="utf-8")


def edited(version: int, *, without: tuple[str, ...] = (), tolerance: str = "") -> str:
    """The shipped spec without some rules, and with a tolerance for what an order is billed."""
    head, *rules = re.split(
        r"(?=^\[\[group)", TEXT.replace("\nversion = 1\n", f"\nversion = {version}\n"), flags=re.MULTILINE
    )
    kept = [block for block in rules if not any(f'name = "{name}"' in block for name in without)]
    text = head + "".join(kept)
    if tolerance:
        name = 'name = "wrong-billing-amount"\n'
        text = text.replace(name, f'{name}tolerance = "{tolerance}"\n')
    return text


def rules_of(text: str) -> SettlementRules:
    """The rules of a text; those that it lacks are known from the shipped spec."""
    return settlement_rules(read_spec(text, file="settlement.toml"), TOLERANCES, RULES.classes)
