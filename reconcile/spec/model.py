"""A spec as the code uses it: legs with their tables and keys, and groups that judge the rows of one match key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reconcile.charging.model import Charging
from reconcile.finding import DiscrepancyClass, Finding
from trueup.model.registers import GroupBooks
from trueup.model.tables import Id, Table

Steps = frozenset[tuple[object, object]]
"""Allowed steps (from, to) of a status."""

Move = tuple[str, object, object]
"""(column, old, new), as `Change.moves` tells it."""


class Tolerances(NamedTuple):
    """What the settings say to the rules.

    `grace_us` is how long a leg may be late, `limits_us` how long a row may stay in a state ((table, status) → µs), and
    `charging` the spec that orders are charged by, None where none is set.
    """

    grace_us: int
    limits_us: dict[tuple[str, str], int]
    charging: Charging | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """The rows of one table in a group.

    `source_table` is the table as the spec names it: `table`, `schema.table` or a topic. `table` decodes its rows,
    `row_type` is a NamedTuple class whose fields stand in the order of the table's columns. `match` are the columns that
    form the match key. `entity_kind` is what findings call its rows, `mark_table` what marks call them, `evidence_table` the
    table that evidence names. `currency` is a column, or a currency code that all rows share, or "" for a leg without
    amounts. `amount` is an expression over the leg's own columns. `steps` are those of the leg's state machine, None for a
    leg without one.
    """

    name: str
    source_table: str
    table: Table
    row_type: type[Any]
    match: tuple[str, ...]
    entity_kind: str
    mark_table: str
    evidence_table: str
    is_single: bool = False
    amount: str = ""
    currency: str = ""
    status: str = ""
    business_time: str = ""
    parent: Mapping[str, str] = field(default_factory=dict)
    steps: Steps | None = None

    @property
    def topic_columns(self) -> tuple[str, ...]:
        """All columns, in the order of a row."""
        return tuple(column.name for column in self.table.columns)

    def match_of(self, row: Sequence[object]) -> tuple[Id, ...]:
        """The match key of a row."""
        return tuple(row[self.table.place(column)] for column in self.match)  # type: ignore[misc]

    def has_primary_key_in(self, columns: Sequence[str]) -> bool:
        """Whether the columns hold the primary key, so that no two rows have the same values in them."""
        return {self.table.primary_key, *self.table.also_primary} <= {*columns}

    def field_of(self, column: str) -> str:
        """The name of a column's field in `row_type`."""
        name: str = self.row_type._fields[self.table.place(column)]
        return name


Judge = Callable[..., list[Finding]]
"""(key, one registers dict per leg, marks, newest_us, tolerances) → findings."""

HeldAgainst = Callable[[str, object, object, Sequence[object]], bool]
"""(column, old, new, the row before the change) → whether a rule may hold the change against its row."""


class SpecGroup:
    """The rules about the rows that share one match key, compiled."""

    def __init__(
        self,
        spec: tuple[str, int],
        name: str,
        key: tuple[str, ...],
        legs: tuple[Leg, ...],
        rules: tuple[RuleEntry, ...],
        compiled: Compiled,
    ) -> None:
        self.spec_name, self.spec_version = spec
        self.name = name
        self.key = key
        self.legs = legs
        self.rules = rules
        self.source_text = compiled.source_text
        self.judge_legs = compiled.judge
        self._held_against = compiled.held_against

    def judge(self, books: GroupBooks, tolerances: Tolerances) -> list[Finding]:
        """Every finding about the group, due now or later."""
        registers = [books.legs[leg.name] for leg in self.legs]
        return self.judge_legs(books.key, *registers, books.marks, books.newest_us, tolerances)

    def held_against(self, leg: Leg, moves: Sequence[Move], row: Sequence[object]) -> list[Move]:
        """The moves of a change that leave a mark: illegal status steps, and edits that an `unchanged` rule watches.

        Args:
            leg: the leg that the row belongs to.
            moves: what the change did to the tracked columns.
            row: the row after the change.
        """
        check = self._held_against.get(leg.name)
        if check is None:
            return []
        before = list(row)
        for column, old, _new in moves:
            before[leg.table.place(column)] = old
        return [move for move in moves if check(*move, before)]


class RuleEntry(NamedTuple):
    """What people ask about a rule: its name, kind, class, and the leg whose rows it judges ("" for the whole group)."""

    name: str
    kind: str
    rule_class: DiscrepancyClass
    leg: str


class Compiled(NamedTuple):
    """The outcome of compiling a group; `source_text` is the generated function, for people who look for a fault."""

    judge: Judge
    held_against: Mapping[str, HeldAgainst]
    source_text: str


@dataclass(frozen=True, slots=True)
class Spec:
    """One spec, ready to judge."""

    name: str
    version: int
    description: str
    groups: tuple[SpecGroup, ...]

    @property
    def classes(self) -> dict[str, DiscrepancyClass]:
        """Rule → class of every rule of the spec."""
        return {rule.name: rule.rule_class for group in self.groups for rule in group.rules}

    def group(self, name: str) -> SpecGroup:
        """The group of this name; KeyError if there is none."""
        return {group.name: group for group in self.groups}[name]
