"""Messages that Debezium's `ExtractNewRecordState` flattened, back into the shape of an envelope. Pure.

The transformation must add what the row itself does not hold:
`add.fields=op,source.name,source.lsn,source.ts_us` (MySQL: `source.file,source.pos,source.row` in place of `source.lsn`),
and keep deletions: `delete.tombstone.handling.mode=rewrite`. A flattened message has no before-image: rules that judge
how a row changed learn nothing from it.
"""

from __future__ import annotations

from typing import Any, Final

ADDED: Final = "__"
"""What begins the name of a field that the transformation added."""

_SOURCE: Final = ("source_", "")
"""`add.fields=source.lsn` is written `__source_lsn`, `add.fields=lsn` is written `__lsn`."""

_POSITIONS: Final = ("name", "connector", "lsn", "file", "pos", "row", "commit_ts", "ts_us", "ts_ms")


def is_flattened(message: dict[str, Any]) -> bool:
    """Whether a message is a row with added fields, not an envelope."""
    return "source" not in message and ("__op" in message or "__deleted" in message)


def as_envelope(message: dict[str, Any]) -> dict[str, Any]:
    """The envelope that was flattened, without its before-image but for a deletion."""
    row = {name: value for name, value in message.items() if not name.startswith(ADDED)}
    source = {
        name: message[f"{ADDED}{prefix}{name}"]
        for name in _POSITIONS
        for prefix in _SOURCE
        if f"{ADDED}{prefix}{name}" in message
    }
    operation = message.get("__op", "u")
    deleted = str(message.get("__deleted", "")).lower() == "true" or operation == "d"
    return {
        "before": row if deleted else None,
        "after": None if deleted or operation == "t" else row,
        "source": source,
        "op": "d" if deleted else operation,
    }
