"""Builds the legs of a group from what the file declares, and says what does not fit together. Pure."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable
from keyword import iskeyword
from typing import Any, Final

from reconcile.spec.declared import DeclaredGroup, DeclaredLeg, FormulaRule, UnchangedRule, kind_of
from reconcile.spec.model import Leg
from trueup.model.money import EXPONENTS
from trueup.model.tables import ROW_TYPES, TABLES, Column, Table
from trueup.model.toml_lines import Place

Report = Callable[[Place, str, str], None]
"""(place within the group, what is wrong, what to do)."""

KEY_KINDS: Final = frozenset({"id", "text", "currency", "int", "date"})
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def build_leg(spec_name: str, group: DeclaredGroup, number: int, report: Report) -> Leg | None:
    """The leg, or None where something about it is wrong, which is then reported."""
    declared = group.legs[number]
    problems: list[str] = []

    def wrong(key: str, what: str, remedy: str) -> None:
        problems.append(key)
        report(("leg", number, key), what, remedy)

    columns = _columns(declared, wrong)
    known = {column.name: column for column in columns}
    primary = [declared.primary_key] if isinstance(declared.primary_key, str) else declared.primary_key
    for key, names in (("match", declared.match), ("primary_key", primary)):
        for name in names:
            _check_key_column(declared.name, key, known.get(name), name, wrong)
    if len(declared.match) != len(group.key):
        wrong(
            "match",
            f"leg {declared.name} matches by {len(declared.match)} columns, the key of the group has {len(group.key)}",
            f"name the columns that stand for {', '.join(group.key)}, in this order",
        )
    for key, name, kinds in (
        ("status", declared.status, {"text"}),
        ("business_time", declared.business_time, {"time"}),
    ):
        if name and (name not in known or known[name].kind not in kinds):
            wrong(
                key,
                f"leg {declared.name}: {name} is no column of the kind {' or '.join(sorted(kinds))}",
                f"its columns are {', '.join(known)}",
            )
    if declared.rows == "one" and set(primary) != set(declared.match):
        wrong(
            "rows",
            f"leg {declared.name} can have several rows of one key: its primary key is {', '.join(primary)}",
            'leave `rows` out, and say "1" in the cardinality of a rule if one row is right',
        )
    currency = _currency(declared, columns, wrong)
    if problems:
        return None
    return _leg(spec_name, group, declared, columns, primary, currency)


def _columns(declared: DeclaredLeg, wrong: Callable[[str, str, str], None]) -> list[Column]:
    builtin = TABLES.get(declared.table)
    if not declared.columns:
        if builtin is None:
            wrong(
                "columns", f"leg {declared.name} declares no columns",
                'write them as `columns = { name = "kind", … }`, with a ? behind the kind where NULL is allowed',
            )  # fmt: skip
        return list(builtin.columns) if builtin else []
    columns = [Column(name, *kind_of(kind)) for name, kind in declared.columns.items()]
    # The decoder reads a row's amounts in the currency of its first currency column.
    return sorted(columns, key=lambda column: column.name != declared.currency)


def _check_key_column(
    leg: str, key: str, column: Column | None, name: str, wrong: Callable[[str, str, str], None]
) -> None:
    if column is None:
        wrong(key, f"leg {leg} has no column {name}", "add it to `columns`, or name another one")
    elif column.kind not in KEY_KINDS:
        wrong(
            key, f"leg {leg}: {name} of the kind {column.kind} cannot be part of a key", "use an id, text, int or date"
        )
    elif column.nullable:
        wrong(key, f"leg {leg}: {name} may be NULL, which is no key", "use a column that is NOT NULL")


def _currency(declared: DeclaredLeg, columns: list[Column], wrong: Callable[[str, str, str], None]) -> str:
    """The column or code that the leg's amounts are in; "" for a leg without amounts."""
    candidates = [column for column in columns if column.kind == "currency"]
    if declared.currency:
        named = next((column for column in candidates if column.name == declared.currency), None)
        if named is None and declared.currency not in EXPONENTS:
            wrong(
                "currency",
                f"leg {declared.name}: {declared.currency} is neither a column of the kind currency nor an ISO-4217 code",
                "name the column, or write a code such as USD if all rows share it",
            )
        if named is not None and named.nullable:
            wrong(
                "currency", f"leg {declared.name}: {named.name} may be NULL", "an amount needs a currency in every row"
            )
        return declared.currency
    has_money = any(column.kind == "money" for column in columns)
    if has_money and len(candidates) != 1:
        wrong(
            "columns", f"leg {declared.name} has amounts, and which currency they are in is not told",
            'write `currency = "column"`, or `currency = "USD"` if all rows share one',
        )  # fmt: skip
    return candidates[0].name if len(candidates) == 1 else ""


def _leg(
    spec_name: str,
    group: DeclaredGroup,
    declared: DeclaredLeg,
    columns: list[Column],
    primary: list[str],
    currency: str,
) -> Leg:
    builtin = TABLES.get(declared.table)
    name = declared.table.rpartition(".")[2]
    table = Table(
        name, primary[0], primary[0], tuple(columns), tuple(primary[1:]), tracked_columns(group, declared, columns),
        "" if any(column.name == currency for column in columns) else currency,
    )  # fmt: skip
    same = builtin is not None and builtin.columns == table.columns
    amounts = [column.name for column in columns if column.kind == "money"]
    return Leg(
        declared.name,
        declared.table,
        table,
        ROW_TYPES[name] if same and name in ROW_TYPES else _row_type(declared.name, columns),
        tuple(declared.match),
        declared.name if spec_name == DEFAULT_SPEC else f"{spec_name}.{declared.name}",
        mark_table=name if spec_name == DEFAULT_SPEC else declared.name,
        evidence_table=".".join(declared.table.split(".")[-2:]),
        is_single=declared.rows == "one",
        amount=declared.amount or (f"{declared.name}.{amounts[0]}" if len(amounts) == 1 else ""),
        currency=currency,
        status=declared.status,
        business_time=declared.business_time,
        parent=dict(declared.parent),
    )


DEFAULT_SPEC: Final = "settlement"
"""The spec whose entities go by the plain names of their legs, as they did before there were others."""


def tracked_columns(group: DeclaredGroup, declared: DeclaredLeg, columns: list[Column]) -> tuple[str, ...]:
    """The columns whose changes the group's rules judge: the status, edited fields, and what an edit depends on."""
    names: dict[str, None] = {}
    for rule in group.rules:
        if rule.leg != declared.name:
            continue
        if rule.kind == "machine" and declared.status:
            names[declared.status] = None
        if isinstance(rule, FormulaRule) and rule.excused_by is not None:
            names[rule.factors] = None
        if isinstance(rule, UnchangedRule):
            names |= dict.fromkeys(rule.fields_)
            if rule.while_ and declared.status:
                # Whether the condition held before the change is told by the status before it.
                names[declared.status] = None
    return tuple(column.name for column in columns if column.name in names)


def _row_type(name: str, columns: list[Column]) -> type[Any]:
    """A NamedTuple class with the columns' names where Python allows them, `column_7` where it does not."""
    fields = [
        column.name if _FIELD.fullmatch(column.name) and not iskeyword(column.name) else f"column_{number}"
        for number, column in enumerate(columns)
    ]
    return namedtuple(f"{name}_row", fields)  # its fields are known at start only
