"""Messages between the two stages of users' own specs: rows by match key, and markers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from reconcile.spec.model import Leg, SpecGroup
from streams.codec import dumps, loads
from trueup.model.errors import InvalidRecord
from trueup.model.registers import Register
from trueup.model.tables import Id

LEGS_TOPIC: Final = "trueup.legs"

Move = tuple[str, object, object]
"""(column, old, new)."""

_REGISTER_FIELDS: Final = len(Register._fields)


class LegMessage(NamedTuple):
    """One row version on its way to the group of its match key.

    `shape` tells how the row is to be read: a message of another shape than the leg has now is of a former definition,
    and its row comes again. `moves` are what the change did to fields that a rule holds against the row.
    """

    group_id: str
    leg: str
    shape: str
    register: Register[Any]
    moves: tuple[Move, ...]


class LegMarkers(NamedTuple):
    """By partition of the leg topics: every change committed up to that time stands before the marker.

    `definitions` names the legs of all specs that the sender knew. Under others some rows may not have been sent.
    """

    definitions: str
    settled_us: dict[int, int]


class LegTruncation(NamedTuple):
    """A table of legs was truncated: rows of the source with a lower version are gone; `table` is named as in specs."""

    table: str
    source: str
    version: int
    commit_us: int
    partition: int
    offset: int


LegsTopic = LegMessage | LegMarkers | LegTruncation
"""What is said on the topic of legs."""


def group_id_of(spec: str, group: str, match: Sequence[object]) -> str:
    """The id of the group of a match key: JSON text. Whole numbers and their text are one key: columns differ in type."""
    return orjson.dumps([spec, group, *map(str, match)]).decode()


def parts_of(group_id: str) -> tuple[str, str, tuple[Id, ...]]:
    """(spec, group, match key) of a group's id."""
    spec, group, *match = orjson.loads(group_id)
    return spec, group, tuple(match)


def shape_of(leg: Leg) -> str:
    """Eight hex digits that change with anything that decides how a row of the leg is read and where it belongs."""
    table = leg.table
    columns = [column[:3] for column in table.columns]
    return _digest([leg.source_table, columns, table.fixed_currency, table.primary_key, table.also_primary, leg.match])


def definitions_of(groups: Iterable[SpecGroup]) -> str:
    """Eight hex digits that change with any leg of any of the groups, and with the version of any spec."""
    legs = [
        [group.spec_name, group.spec_version, group.name, leg.name, shape_of(leg)]
        for group in groups
        for leg in group.legs
    ]
    return _digest(sorted(legs))


def _digest(content: object) -> str:
    return sha256(orjson.dumps(content)).hexdigest()[:8]


def encode_leg_message(message: LegMessage) -> tuple[bytes, bytes]:
    """(key, value); the key decides the partition."""
    key = message.group_id.encode()
    return key, dumps([message.group_id, message.leg, message.shape, message.register, message.moves])


def encode_markers(markers: LegMarkers) -> bytes:
    """The markers as a message, which goes to every partition."""
    settled = {str(partition): settled_us for partition, settled_us in markers.settled_us.items()}
    return orjson.dumps({"legs": markers.definitions, "settled": settled})


def encode_leg_truncation(truncation: LegTruncation) -> bytes:
    """The truncation as a message, which goes to every partition."""
    return orjson.dumps({"truncated": list(truncation)})


def decode_legs_topic(value: bytes | None) -> LegsTopic:
    """A row, markers, or a truncation. Errors: InvalidRecord `malformed-leg`."""
    try:
        decoded = loads(value or b"null")
        if isinstance(decoded, dict) and "truncated" in decoded:
            table, source, *place = decoded["truncated"]
            return LegTruncation(str(table), str(source), *map(int, place))
        if isinstance(decoded, dict):
            settled = {int(partition): int(settled_us) for partition, settled_us in decoded["settled"].items()}
            return LegMarkers(str(decoded["legs"]), settled)
        group_id, leg, shape, register, moves = decoded
        if len(register) != _REGISTER_FIELDS or not all(type(text) is str for text in (group_id, leg, shape)):
            raise ValueError("another shape")
        parts_of(group_id)
        return LegMessage(group_id, leg, shape, Register._make(register), tuple((f, old, new) for f, old, new in moves))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidRecord("malformed-leg", f"not a row of a leg: {error}") from None
