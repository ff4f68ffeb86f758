"""Findings: what a rule has to say about the books at one moment. Data, not exceptions."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from trueup.model.registers import Mark, Register
from trueup.model.tables import Id

DiscrepancyClass = Literal["one-sided", "wrong-amount", "mismatch"]
Direction = Literal["", "short", "long"]

DISCREPANCY_CLASSES: Final[tuple[DiscrepancyClass, ...]] = ("mismatch", "one-sided", "wrong-amount")
"""The classes, each of which is also the discrepancy topic that its rules are published on."""

CODED_CLASSES: Final[dict[str, DiscrepancyClass]] = {
    "funding-short": "wrong-amount",
    "release-mismatch": "wrong-amount",
    "rule-violation": "mismatch",
}
"""Rule → class of the rules that are code; those of specs have theirs in the spec."""


class Evidence(NamedTuple):
    """Where one leg of a finding was read."""

    table: str
    source: str
    primary_key: Id
    version: int
    commit_us: int
    partition: int
    offset: int


class Amounts(NamedTuple):
    """What a rule compared, in minor units of `currency`; None where it compares no amounts."""

    expected_minor: int | None
    actual_minor: int | None
    currency: str


NO_AMOUNTS: Final = Amounts(None, None, "")


class Finding(NamedTuple):
    """One rule broken by one entity.

    `due_us` is when it may be raised: the finding is in force once the watermark has reached it. Amounts are minor
    units of `currency`, None where the rule compares no amounts.
    """

    rule: str
    entity_kind: str
    entity_id: Id
    due_us: int
    direction: Direction
    expected_minor: int | None
    actual_minor: int | None
    currency: str
    shop_id: Id
    statement_id: Id
    detail: str
    evidence: tuple[Evidence, ...]


def evidence_of(table: str, register: Register[Any] | Mark) -> Evidence:
    """The evidence that a register or a mark gives."""
    return Evidence(
        table, register.source, register.primary_key, register.version, register.commit_us,
        register.partition, register.offset,
    )  # fmt: skip


def id_order(identifier: Id) -> tuple[bool, int, str]:
    """Sort key of ids: numbers in numeric order before text in text order."""
    return (False, identifier, "") if isinstance(identifier, int) else (True, 0, identifier)
