"""The factors of an order: JSON text in, exact values out, and the snapshot of what was used."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

import orjson

from reconcile.charging.model import Factor, Snapshot
from reconcile.formula.errors import FormulaError
from reconcile.formula.kinds import Value, checked, plain_value

FACTORS_CHARS_MAX: Final = 65_536
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)


def read_factors(text: str | None, factors: Mapping[str, Factor]) -> dict[str, Value]:
    """The values of the factors that a spec knows, in the order of the spec; defaults stand in, unknown ones are left out.

    Args:
        text: a JSON object, such as `{"km": "12.5", "stops": 31}`; None stands for an empty one. Numbers are decimal
            text or whole numbers, because a JSON number with a point is a binary float to many programs.
        factors: what the spec knows.

    Errors: FormulaError for text that is no such object, a name given twice, a value of the wrong kind.
    """
    given = _object(text) if text is not None else {}
    values: dict[str, Value] = {}
    for name, factor in factors.items():
        value = given.get(name)
        if value is None:
            if factor.default is not None:
                values[name] = factor.default
        else:
            values[name] = value_of(name, factor, value)
    return values


def value_of(name: str, factor: Factor, value: object) -> Value:
    """One value as its kind; FormulaError if it is of another."""
    if factor.kind == "number" and isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise _unfit(f"{name} is {value[:60]!r}, which is no decimal number")
        value = Decimal(value)
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise _unfit(f"{name} holds half a character")
    return checked(name, factor.kind, value)


def snapshot(values: Mapping[str, Value], used: Iterable[str]) -> Snapshot:
    """The values of these names, in the one form that equal values have."""
    told = {name: plain_value(values[name]) for name in sorted(used)}
    text = orjson.dumps(told).decode()
    return Snapshot(text, hashlib.sha256(text.encode()).hexdigest())


def _object(text: str) -> dict[str, Any]:
    if len(text) > FACTORS_CHARS_MAX:
        raise _unfit(f"the factors have {len(text):,} characters, {FACTORS_CHARS_MAX:,} are allowed")
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _unfit(f"the factors are no valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise _unfit("the factors are no JSON object")
    return found


def _float(number: str) -> NoReturn:
    raise _unfit(f"the factors hold the number {number[:60]}, which may have been rounded on its way")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _unfit("a factor is given twice")
    return found


def _unfit(what: str) -> FormulaError:
    return FormulaError(what, where="the factors", remedy='write numbers as text, such as {"km": "12.5"}')


# Made once: `json.loads` would make a decoder for every order.
_DECODER: Final = json.JSONDecoder(parse_float=_float, parse_constant=_float, object_pairs_hook=_without_repeats)
