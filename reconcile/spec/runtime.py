"""What generated judges call: rows in order, lookups in history, exact arithmetic. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation
from typing import Any, Final, NamedTuple

from reconcile.charging.verdict import expected_charge_minor
from reconcile.finding import Evidence, evidence_of, id_order
from reconcile.formula.functions import ROUNDINGS
from trueup.model.money import EXPONENTS, to_text
from trueup.model.registers import Mark, Register, RegisterKey

Held = Register[Any]


class FactorsOf(NamedTuple):
    """What a charge is computed from: the JSON of the factors, and the currency that it is owed in."""

    factors: str | None
    currency: str


Registers = dict[RegisterKey, Held]

EXACT: Final = Context(prec=100, traps=[InvalidOperation, DivisionByZero])
"""A product of two amounts of `NUMERIC(38,4)` fits with room to spare; a quotient is good to 100 digits."""

WRITABLE_MINOR_LIMIT: Final = 10**34
"""`NUMERIC(38,4)` holds amounts below this in minor units of any currency."""

_ONE: Final = Decimal(1)


def first_live(registers: Registers) -> Held | None:
    """The live row; where two sources hold it, the first source by name speaks for it."""
    found: Held | None = None
    for held in registers.values():
        if not held.deleted and (found is None or held.source < found.source):
            found = held
    return found


def live(registers: Registers) -> list[Held]:
    """The live rows, lowest primary key first, then by source."""
    rows = [held for held in registers.values() if not held.deleted]
    if len(rows) > 1:
        rows.sort(key=_row_order)
    return rows


def _row_order(held: Held) -> tuple[tuple[bool, int, str], str]:
    return id_order(held.primary_key), held.source


def distinct(rows: list[Held], key_of: Callable[[Held], object]) -> list[Held]:
    """The first row of each key."""
    first: dict[object, Held] = {}
    for held in rows:
        first.setdefault(key_of(held), held)
    return list(first.values())


def first_commit_us(rows: Iterable[Held]) -> int | None:
    """The earliest commit of any version of the rows; None if there are none."""
    return min((held.first_us for held in rows), default=None)


def in_time(marks: Iterable[Mark]) -> list[Mark]:
    """Marks by commit time, then version."""
    return sorted(marks, key=lambda mark: (mark.commit_us, mark.version))


def row_before(row: Any, marks: list[Mark], table: str, fields: dict[str, str], after_us: int | None) -> Any:
    """The row as it was before the first change of each of the fields that was committed after `after_us`.

    None if there was no such change, or nothing that it could come after. `fields` is column → field of the row.
    """
    if after_us is None:
        return None
    first_old: dict[str, object] = {}
    for mark in in_time(marks):
        if mark.table == table and mark.field in fields and mark.commit_us > after_us:
            first_old.setdefault(fields[mark.field], mark.old)
    return row._replace(**first_old) if first_old else None


def first_edits(marks: list[Mark], table: str, field: str) -> list[Mark]:
    """The earliest mark of each row's field."""
    earliest: dict[RegisterKey, Mark] = {}
    for mark in in_time(marks):
        if mark.table == table and mark.field == field:
            earliest.setdefault((mark.source, mark.primary_key), mark)
    return list(earliest.values())


def illegal_steps(marks: list[Mark], table: str, field: str, legal: Collection[tuple[object, object]]) -> list[Mark]:
    """The earliest step of each primary key that is not listed."""
    earliest: dict[Any, Mark] = {}
    for mark in in_time(marks):
        if mark.table == table and mark.field == field and (mark.old, mark.new) not in legal:
            earliest.setdefault(mark.primary_key, mark)
    return list(earliest.values())


def in_several_sources(registers: Registers) -> Iterator[list[Held]]:
    """For each primary key that is live in more than one source: its registers, by source."""
    by_key: dict[Any, list[Held]] = {}
    for held in registers.values():
        if not held.deleted:
            by_key.setdefault(held.primary_key, []).append(held)
    return (sorted(held) for held in by_key.values() if len(held) > 1)


def evidence(table: str, rows: Iterable[Held]) -> list[Evidence]:
    """The evidence that rows of one table give."""
    return [evidence_of(table, held) for held in rows]


def is_one(currencies: Sequence[str]) -> bool:
    """Whether all amounts are in one currency."""
    return len(set(currencies)) <= 1


def first_of(currencies: Sequence[str]) -> str:
    """The first currency, "" where no row tells one."""
    return currencies[0] if currencies else ""


def product(left: Any, right: Any) -> Decimal:
    """The product left × right."""
    return EXACT.multiply(Decimal(left), Decimal(right))


def quotient(left: Any, right: Any) -> Decimal:
    """The quotient left ÷ right. Errors: ArithmeticError for a division by zero."""
    return EXACT.divide(Decimal(left), Decimal(right))


def whole(amount_minor: Any) -> int:
    """Minor units without a fraction, rounded half up. Errors: ArithmeticError for more than can be written down."""
    minor = int(Decimal(amount_minor).quantize(_ONE, ROUND_HALF_UP, EXACT))
    if abs(minor) >= WRITABLE_MINOR_LIMIT:
        raise OverflowError("the amount does not fit NUMERIC(38,4)")
    return minor


def in_minor(number: Decimal, currency: str) -> Any:
    """A number of major units in minor units; a fraction stays where the currency is not so fine."""
    return number.scaleb(EXPONENTS.get(currency, 0), EXACT)


def round_number(number: Any, digits: int, mode: str) -> Decimal:
    """The number rounded to digits behind the point; `mode` as in the formula language."""
    return Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUNDINGS[mode], EXACT)


def round_amount(amount_minor: Any, digits: int, mode: str, currency: str) -> Decimal:
    """An amount in minor units, rounded to digits of its major unit."""
    return Decimal(amount_minor).quantize(
        Decimal(1).scaleb(EXPONENTS.get(currency, 0) - digits), ROUNDINGS[mode], EXACT
    )


def told_amount(amount_minor: Any, currency: str) -> str:
    """An amount for the detail of a finding, such as `12.30 USD`."""
    return f"{to_text(whole(amount_minor), currency)} {currency}" if currency in EXPONENTS else str(amount_minor)


NAMES: Final[dict[str, object]] = {
    function.__name__: function
    for function in (
        first_live, live, distinct, first_commit_us, row_before, first_edits, illegal_steps, in_several_sources, evidence,
        is_one, first_of, product, quotient, whole, in_minor, round_number, round_amount, told_amount, evidence_of,
        expected_charge_minor, FactorsOf,
    )
}  # fmt: skip
"""What a generated judge may call, by name."""
