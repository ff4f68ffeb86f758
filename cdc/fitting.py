"""Whether the columns of a Postgres table can be read as what is declared of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cdc.source_tables import SourceTable
from trueup.model.errors import InvalidRecord

_WHOLE: Final = {20: "bigint", 21: "smallint", 23: "integer"}
_TEXTS: Final = {25: "text", 1042: "character", 1043: "character varying"}
_OTHERS: Final = {16, 17, 20, 21, 23, 26, 700, 701, 790, 1082, 1083, 1114, 1184, 1266, 1700}
"""Types that travel as something else than text, or as text that nobody should match by."""

_FITTING: Final[dict[str, frozenset[int]]] = {
    "money": frozenset({1700, *_WHOLE, *_TEXTS}),
    "time": frozenset({1184, 1114, 20}),
    "date": frozenset({1082}),
    "int": frozenset(_WHOLE),
    "flag": frozenset({16}),
}
"""Kind → OIDs of the types whose values the decoder takes, as `cdc/values.py` writes them."""

_FITTING_AND_TEXT: Final[dict[str, frozenset[int]]] = {
    "id": frozenset({*_WHOLE, 1700}),
    "text": frozenset({1700}),
    "currency": frozenset(),
    "json": frozenset(),
}
"""The same for the kinds that also take every type whose values travel as text, such as enums and uuid."""


def fits(kind: str, type_oid: int) -> bool:
    """Whether the values of a type can be read as a kind."""
    if kind in _FITTING:
        return type_oid in _FITTING[kind]
    return type_oid in _FITTING_AND_TEXT[kind] or type_oid not in _OTHERS


def misfit(table: SourceTable, columns: Mapping[str, int]) -> InvalidRecord | None:
    """Why a table with these columns (name → OID of the type, or of what its domain is made of) cannot be read.

    None when it can: columns that nobody declared may come, go and change.
    """
    missing = [name for name in table.columns if name not in columns]
    if missing:
        return InvalidRecord("missing-column", f"table {table.label} has no column {', '.join(missing)}")
    retyped = [f"{name} as {kind}" for name, kind in table.kinds if not fits(kind, columns[name])]
    if retyped:
        what = f"the type of a column of table {table.label} cannot be read: {', '.join(retyped)}"
        return InvalidRecord("wrong-type", what)
    return None
