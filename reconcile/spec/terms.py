"""What an expression translates to, what names mean in one, and the currencies that its amounts are in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from reconcile.spec.model import Leg


@dataclass(frozen=True, slots=True)
class Term:
    """The translation of an expression.

    `kind` is money, number, time, date, text, id, flag or null. `currencies` are the texts of the currencies of the rows
    that money comes from, `spreads` those of lists of currencies. `is_whole` is False where × or ÷ may leave a fraction,
    `may_fail` is True where × or ÷ may have no result that can be written down.
    `needs` are the single legs that must have a row, `sets` the legs and subsets that aggregates run over.
    """

    text: str
    kind: str
    nullable: bool = False
    currencies: tuple[str, ...] = ()
    spreads: tuple[str, ...] = ()
    is_whole: bool = True
    may_fail: bool = False
    number: Decimal | None = None
    needs: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()


def joined(text: str, kind: str, parts: list[Term]) -> Term:
    """A term made of others, with all that they stand on."""
    return Term(
        text,
        kind,
        currencies=tuple(dict.fromkeys(one for part in parts for one in part.currencies)),
        spreads=tuple(dict.fromkeys(one for part in parts for one in part.spreads)),
        is_whole=all(part.is_whole for part in parts),
        may_fail=any(part.may_fail for part in parts),
        needs=frozenset().union(*(part.needs for part in parts)),
        sets=frozenset().union(*(part.sets for part in parts)),
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean in an expression.

    `rows` are the legs whose row has a variable here, by the variable's text; single legs have theirs everywhere.
    `sets` tells the leg behind each leg or subset that an aggregate may run over, and `defined` the defined names.
    `hoisted` gives the term of a defined name that is computed once for the whole group, if it can be.
    """

    legs: Mapping[str, Leg]
    sets: Mapping[str, Leg]
    defined: Mapping[str, str]
    rows: Mapping[str, tuple[str, Leg]] = field(default_factory=dict)
    values: Mapping[str, Term] = field(default_factory=dict)
    hoisted: Callable[[str], Term | None] = lambda _name: None

    def bound(self, name: str, text: str, leg: Leg) -> Scope:
        """The scope with a row variable for a leg."""
        return replace(self, rows={**self.rows, name: (text, leg)})

    def with_values(self, values: Mapping[str, Term]) -> Scope:
        """The scope with further plain names."""
        return replace(self, values={**self.values, **values})


def same_currency(term: Term) -> list[str]:
    """Texts of the conditions under which all money in the term is in one currency."""
    if not term.currencies:
        return [f"is_one({' + '.join(term.spreads)})"] if term.spreads else []
    base, *others = term.currencies
    return [f"{base} == {one}" for one in others] + [f"is_one([{base}] + {spread})" for spread in term.spreads]


def currency_text(leg: Leg, row: str) -> str:
    """The text of the currency of a row: its column, or the code that all rows share."""
    if leg.currency in leg.topic_columns:
        return f"{row}.{leg.field_of(leg.currency)}"
    return repr(leg.currency)
