"""State values as JSON bytes: orjson, with a slower exact path for integers beyond 64 bits."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

_BIG: Final = 0x20
"""First byte (a space) of values that the exact path wrote: orjson would read their large integers as floats."""


def dumps(value: object) -> bytes:
    """JSON of lists, dicts, strings, integers, booleans and NamedTuples (as lists), of any integer size."""
    try:
        return orjson.dumps(value, default=tuple)
    except orjson.JSONEncodeError:
        return b" " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def loads(data: bytes) -> Any:
    """The inverse of `dumps`; NamedTuples come back as lists."""
    return json.loads(data) if data[0] == _BIG else orjson.loads(data)
