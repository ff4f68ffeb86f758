"""Corrections of messages that could not be read: fields renamed, set, replaced by value, or dropped. Pure.

A mapping is a list of steps, applied in their order to the row before and the row after the change, and to the message's
key where it holds the field. A schema that comes with the message follows: it says how values are written, by the names of
fields. Everything else of the message stays as it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from cdc.flattened import ADDED, is_flattened
from trueup.model.errors import ConfigurationError, InvalidRecord

STEPS_MAX: Final = 50
FIELD_CHARS_MAX: Final = 200
Scalar = str | int | bool | None
"""What a field may be set to; amounts are text, because binary fractions are not amounts."""


class Rename(NamedTuple):
    """The field gets another name."""

    field: str
    to: str


class SetValue(NamedTuple):
    """The field gets this value, also where it was missing."""

    field: str
    value: Scalar


class Replace(NamedTuple):
    """Where the field holds `old`, it gets `new`."""

    field: str
    old: Scalar
    new: Scalar


class Drop(NamedTuple):
    """The field is left out of the rows; a key keeps it."""

    field: str


Step = Rename | SetValue | Replace | Drop
KINDS: Final[dict[str, type[Any]]] = {"rename": Rename, "set": SetValue, "replace": Replace, "drop": Drop}
"""Kind of a step as people write it → the step."""

_REMEDY: Final = (
    "write it as a list of steps with `do` (rename, set, replace, drop), `field`, and `to`, `value`, or `old` and `new`"
)


class Corrected(NamedTuple):
    """A message under a mapping; `key_changed` tells that its place follows from another key than it was sent under."""

    key: bytes
    value: bytes
    key_changed: bool


def correct(key: bytes, value: bytes, mapping: Sequence[Step]) -> Corrected:
    """The message with the steps applied; byte for byte the same where the mapping changes nothing of it.

    Raises:
        InvalidRecord: `malformed-json` or `wrong-type` for a value that is no envelope, and `mapping-conflict` for a field
            renamed to one that is there already. A mapping without steps takes any bytes.
    """
    if not mapping:
        return Corrected(key, value, False)
    document = _read(value)
    envelope = document.get("payload", document) if type(document) is dict else None
    if type(envelope) is not dict:
        raise InvalidRecord("wrong-type", "the envelope is not a JSON object: no field can be corrected")
    rows = _rows(envelope, mapping)
    changed = [_apply(row, mapping) for row in rows]
    if any(changed) and envelope is not document:
        _correct_schema(document.get("schema"), mapping)
    new_key = _corrected_key(key, mapping)
    return Corrected(new_key, _written(document) if any(changed) else value, new_key != key)


def decode_mapping(document: object) -> tuple[Step, ...]:
    """The mapping in plain JSON values, as `encode_mapping` writes it.

    Errors: ConfigurationError that names the step.
    """
    if type(document) is not list or len(document) > STEPS_MAX:
        raise ConfigurationError(f"a mapping is a list of at most {STEPS_MAX} steps", where="mapping", remedy=_REMEDY)
    return tuple(_step(number, entry) for number, entry in enumerate(document, 1))


def encode_mapping(mapping: Iterable[Step]) -> list[dict[str, Scalar]]:
    """The mapping as plain JSON values."""
    names = {kind: name for name, kind in KINDS.items()}
    return [{"do": names[type(step)], **step._asdict()} for step in mapping]


def _read(value: bytes) -> Any:
    """The JSON document with whole numbers of any size; fractions as the decoder reads them."""
    try:
        # It refuses what is not JSON (NaN, lone surrogates) just as the decoder will.
        orjson.loads(value)
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord("malformed-json", f"not JSON: {error}") from None


def _rows(envelope: dict[str, Any], mapping: Sequence[Step]) -> list[dict[str, Any]]:
    """The rows of a change; a flattened message is the row itself, beside fields that are none of it."""
    if not is_flattened(envelope):
        return [envelope[image] for image in ("before", "after") if type(envelope.get(image)) is dict]
    for name in (name for step in mapping for name in (step.field, getattr(step, "to", ""))):
        if name.startswith(ADDED):
            raise InvalidRecord("mapping-conflict", f"{name} is no field of the row: it says what the change is")
    return [envelope]


def _correct_schema(schema: object, mapping: Sequence[Step]) -> None:
    """Let the schema name the fields as the rows do; a value that was set is written plainly, so nothing is said of it."""
    fields = schema.get("fields") if type(schema) is dict else None
    if type(fields) is not list:
        return
    inner = [one["fields"] for one in fields if type(one) is dict and one.get("field") in {"before", "after"}
             and type(one.get("fields")) is list]  # fmt: skip
    for described in inner or [fields]:
        for step in mapping:
            for one in [one for one in described if type(one) is dict and one.get("field") == step.field]:
                if isinstance(step, Rename):
                    one["field"] = step.to
                elif not isinstance(step, Replace):
                    described.remove(one)


def _written(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _apply(row: dict[str, Any], mapping: Sequence[Step]) -> bool:
    """Correct a row in place; whether it changed."""
    before = json.dumps(row)
    for step in mapping:
        if isinstance(step, SetValue):
            row[step.field] = step.value
        elif step.field not in row:
            continue
        elif isinstance(step, Rename):
            _rename(row, step)
        elif isinstance(step, Replace):
            _replace(row, step)
        else:
            del row[step.field]
    return json.dumps(row) != before


def _rename(row: dict[str, Any], step: Rename) -> None:
    if step.to == step.field:
        return
    if step.to in row:
        raise InvalidRecord("mapping-conflict", f"{step.field} cannot be called {step.to}: the row has such a field")
    row[step.to] = row.pop(step.field)


def _replace(row: dict[str, Any], step: Replace) -> None:
    held = row[step.field]
    # True equals 1 and 1.0 in Python, not in JSON.
    if type(held) is type(step.old) and held == step.old:
        row[step.field] = step.new


def _corrected_key(key: bytes, mapping: Sequence[Step]) -> bytes:
    """The key with the same corrections, as far as it holds the fields; as it was where it is no JSON object."""
    try:
        document = _read(key)
    except InvalidRecord:
        return key
    held = document.get("payload", document) if type(document) is dict else None
    if type(held) is not dict:
        return key
    changed = False
    for step in mapping:
        if step.field in held and not isinstance(step, Drop):
            changed |= _apply(held, [step])
    return _written(document) if changed else key


def _step(number: int, entry: object) -> Step:
    where = f"mapping, step {number}"
    if type(entry) is not dict:
        _refuse("a step is an object", where)
    done = entry.get("do")
    kind = KINDS.get(done) if type(done) is str else None
    if kind is None:
        _refuse(f"a step does one of {', '.join(KINDS)}", where)
    fields: Mapping[str, Any] = {name: held for name, held in entry.items() if name != "do"}
    if fields.keys() != set(kind._fields):
        _refuse(f"a step that does {entry['do']} has {', '.join(kind._fields)}", where)
    for name, held in fields.items():
        if name in {"field", "to"}:
            if type(held) is not str or not 0 < len(held) <= FIELD_CHARS_MAX:
                _refuse(f"{name} is the name of a field", where)
        elif type(held) not in {str, int, bool, type(None)}:
            _refuse(f"{name} is text, a whole number, true, false or null; write an amount as text", where)
    step: Step = kind(**fields)
    return step


def _refuse(what: str, where: str) -> NoReturn:
    raise ConfigurationError(what, where=where, remedy=_REMEDY)


def scalar_of(text: str) -> Scalar:
    """What a person types for a value: `7`, `true`, `false`, `null` and `"7"` as in JSON, anything else as the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if type(value) in {str, int, bool, type(None)} else text


def text_of(value: Scalar) -> str:
    """The other way round: what to type for a value."""
    if type(value) is str:
        return value if scalar_of(value) == value and type(scalar_of(value)) is str else json.dumps(value)
    return json.dumps(value)
