"""The state of one group of a user's spec: the registers of its legs, and its cases. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from reconcile.finding import DiscrepancyClass
from reconcile.lifecycle import Case, CaseKey, decode_case, encode_case
from reconcile.spec.amounts import ReadAmount, amount_reader
from reconcile.spec.model import Leg, Spec, SpecGroup, Tolerances
from streams.codec import dumps, loads
from streams.floors import Floor
from streams.group_messages import LegMessage, definitions_of, parts_of, shape_of
from streams.merge import keep_mark
from streams.order_state import decode_registers
from trueup.model.registers import GroupBooks, Mark, Register

_FORMAT: Final = 1


class CurrentGroup(NamedTuple):
    """A group as it is judged now. `fingerprint` changes with anything that may change a verdict."""

    group: SpecGroup
    legs: dict[str, Leg]
    shapes: dict[str, str]
    amounts: dict[str, ReadAmount]
    classes: dict[str, DiscrepancyClass]
    fingerprint: str


class Groups:
    """The groups of all specs that run beside the settlement's, by the name of spec and group."""

    def __init__(self, specs: Sequence[Spec], tolerances: Tolerances) -> None:
        self.definitions = definitions_of(group for spec in specs for group in spec.groups)
        """Names the legs of all groups, see `LegMarkers`."""

        self._current = {
            (spec.name, group.name): CurrentGroup(
                group,
                {leg.name: leg for leg in group.legs},
                {leg.name: shape_of(leg) for leg in group.legs},
                {leg.name: amount_reader(leg) for leg in group.legs},
                spec.classes,
                _fingerprint(group, tolerances),
            )
            for spec in specs
            for group in spec.groups
        }

    @property
    def fingerprint(self) -> str:
        """Changes with that of any group, and when one comes or goes."""
        return "".join(sorted(held.fingerprint for held in self._current.values()))

    def of(self, group_id: str) -> CurrentGroup | None:
        """The group that an id belongs to; None when no spec has it any more."""
        spec, group, _match = parts_of(group_id)
        return self._current.get((spec, group))


def _fingerprint(group: SpecGroup, tolerances: Tolerances) -> str:
    content = (group.spec_name, group.spec_version, group.name, group.source_text, sorted(tolerances.limits_us.items()))
    return sha256(repr((*content, tolerances.grace_us)).encode()).hexdigest()[:16]


class GroupState:
    """Everything kept for one group; fields as in `OrderState`.

    `shapes` tell how the rows of each leg are to be read, `classes` the class of each rule with a case, which must be known
    when the rule is gone. `judged_by` is the fingerprint of the rules that judged it last.
    """

    __slots__ = (
        "books", "cases", "classes", "due_us", "group_id", "judged", "judged_by", "month_days", "shapes",
        "stored_due_us",
    )  # fmt: skip

    def __init__(self, group_id: str, current: CurrentGroup | None) -> None:
        self.group_id = group_id
        self.books = GroupBooks(parts_of(group_id)[2], current.legs if current is not None else ())
        self.shapes = dict(current.shapes) if current is not None else {}
        self.cases: dict[CaseKey, Case] = {}
        self.classes: dict[str, str] = {}
        self.month_days: int | None = None
        self.due_us: int | None = None
        self.stored_due_us: int | None = None
        self.judged = False
        self.judged_by = ""

    def encode(self) -> bytes:
        """JSON bytes; `decode_group_state` reads them."""
        books = self.books
        return dumps(
            (
                _FORMAT,
                self.group_id,
                self.month_days,
                self.due_us,
                self.judged,
                self.judged_by,
                books.newest_us,
                [(leg, self.shapes[leg], list(held.values())) for leg, held in books.legs.items()],
                books.marks,
                self.classes,
                [encode_case(case) for case in self.cases.values()],
            )
        )


def decode_group_state(data: bytes, groups: Groups) -> GroupState:
    """The inverse of `GroupState.encode`.

    Rows of a leg that is read in another way now are left out: they come again, because its topic is read again. Rows of
    legs that no spec names now stay as they are.
    """
    (_format, group_id, month_days, due_us, judged, judged_by, newest_us, legs, marks, classes, cases) = loads(data)
    current = groups.of(group_id)
    state = GroupState(group_id, current)
    state.month_days, state.due_us, state.stored_due_us = month_days, due_us, due_us
    state.judged, state.judged_by, state.classes = judged, judged_by, classes
    books = state.books
    books.newest_us = newest_us
    for name, shape, registers in legs:
        if state.shapes.setdefault(name, shape) == shape:
            leg = current.legs.get(name) if current is not None else None
            books.legs[name] = decode_registers(registers, tuple if leg is None else leg.row_type._make)
        else:
            state.judged = False
    books.marks = [Mark._make(mark) for mark in marks]
    for encoded in cases:
        case = decode_case(encoded)
        state.cases[case.key] = case
    return state


def merge_leg(books: GroupBooks, message: LegMessage, leg: Leg) -> bool:
    """Take one row version into the books; whether it altered anything. In any order, any number of times."""
    arrived = message.register
    registers = books.legs[leg.name]
    altered = _merge_register(registers, arrived, leg)
    for field, old, new in message.moves:
        mark = Mark(
            leg.mark_table, arrived.source, arrived.primary_key, arrived.version, arrived.commit_us, field, old, new,
            arrived.partition, arrived.offset,
        )  # fmt: skip
        altered = keep_mark(books.marks, mark) or altered
    books.newest_us = max(books.newest_us, arrived.commit_us)
    return altered


def ended(message: LegMessage, floor: Floor) -> LegMessage:
    """The end of a row by a truncation of its table; it has no row, as any such deletion."""
    register = message.register._replace(
        version=floor.version, commit_us=floor.commit_us, first_us=floor.commit_us, deleted=True, row=None,
        partition=floor.partition, offset=floor.offset,
    )  # fmt: skip
    return message._replace(register=register, moves=())


def _merge_register(registers: dict[Any, Register[Any]], arrived: Register[Any], leg: Leg) -> bool:
    key = (arrived.source, arrived.primary_key)
    held = registers.get(key)
    if held is None or arrived.version > held.version:
        first_us = arrived.first_us if held is None else min(held.first_us, arrived.first_us)
        row = None if arrived.row is None else leg.row_type._make(arrived.row)
        registers[key] = arrived._replace(first_us=first_us, row=row)
        return True
    if arrived.first_us < held.first_us:
        registers[key] = held._replace(first_us=arrived.first_us)
        return True
    return False
