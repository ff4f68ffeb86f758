"""A charging spec ready for use, and what it says of an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from reconcile.charging.declared import Direction
from reconcile.formula.compile import CompiledFormula
from reconcile.formula.kinds import Kind, Value


class Factor(NamedTuple):
    """A factor that a spec knows: its kind, and its value where an order gives none (None: it must be given)."""

    kind: Kind
    default: Value | None


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """One fee of a rule: who it is for and how it is rounded; `rounding` is a key of `ROUNDINGS`."""

    name: str
    party: str
    type: str
    direction: Direction
    currency: str
    rounding: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its condition and its fees; the results of `formula` are the fees' amounts in major units."""

    name: str
    priority: int
    when: CompiledFormula | None
    formula: CompiledFormula
    fees: tuple[FeeTerms, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A line of business. Rules stand in the order in which they are asked: by priority, then as written."""

    name: str
    when: CompiledFormula | None
    match: Literal["first", "all"]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Charging:
    """A charging spec. `seller` is the party whom billing items pay."""

    name: str
    version: int
    description: str
    seller: str
    factors: dict[str, Factor]
    scenarios: tuple[Scenario, ...]


class FeeItem(NamedTuple):
    """One fee of one order, in minor units of its currency."""

    rule: str
    name: str
    party: str
    type: str
    direction: Direction
    currency: str
    amount_minor: int


class Snapshot(NamedTuple):
    """The factors that a charge used, defaults included: canonical JSON (names sorted, numbers as text) and its SHA-256."""

    json: str
    sha256: str


class Share(NamedTuple):
    """Σ fees of one party, type, direction and currency."""

    party: str
    type: str
    direction: Direction
    currency: str
    amount_minor: int


class Net(NamedTuple):
    """What one party is owed in one currency: payable − receivable; below zero the party owes us."""

    party: str
    currency: str
    payable_minor: int
    receivable_minor: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """Fees split by party and type, and netted by party and currency; both in the order of the names."""

    shares: tuple[Share, ...]
    nets: tuple[Net, ...]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a charging spec says of one order."""

    spec: str
    version: int
    scenario: str
    rules: tuple[str, ...]
    fees: tuple[FeeItem, ...]
    clearing: Clearing
    snapshot: Snapshot
