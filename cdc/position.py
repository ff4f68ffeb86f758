"""Where a change stands in its source's log, as one number that grows with every later change. Pure.

PostgreSQL: the LSN. MySQL and MariaDB: (binlog file, position, row within the event). TiDB: the commit timestamp.
Numbers are compared within one source only; a MySQL source keeps its name for as long as it keeps one binlog, since a
replica that takes over numbers its files anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from trueup.model.errors import InvalidRecord

_INT64_LIMIT: Final = 2**63
_FILE: Final = re.compile(r".*\.(\d{1,9})")
ROW_BITS: Final = 14
"""How many low bits of a place in a binlog tell the row within an event."""

_POSITION_BITS: Final = 32
_FILE_BITS: Final = 63 - _POSITION_BITS - ROW_BITS
"""131,072 binlog files of up to 4 GiB, with up to 16,384 rows in one event (MySQL splits events at 8 KiB)."""


def position_of(source: Mapping[str, Any]) -> int:
    """The position as a number below 2^63.

    Errors: InvalidRecord missing-field where the source block holds no position, out-of-range where it does not fit.
    """
    lsn = source.get("lsn")
    if type(lsn) is int and 0 <= lsn < _INT64_LIMIT:
        return lsn
    commit_ts = source.get("commit_ts")
    if type(commit_ts) is int:
        # Before the place in a binlog, which TiCDC writes as well, empty.
        return _within(commit_ts, "commit_ts", _INT64_LIMIT)
    if "pos" in source:
        return _binlog_position(source)
    raise InvalidRecord(
        "missing-field", "source holds no log position: neither lsn, nor file, pos and row, nor commit_ts"
    )


def _binlog_position(source: Mapping[str, Any]) -> int:
    file, place, row = source.get("file"), source.get("pos"), source.get("row")
    found = _FILE.fullmatch(file) if type(file) is str else None
    if found is None or type(place) is not int:
        raise InvalidRecord("missing-field", f"source.file {file!r:.60} and source.pos {place!r:.60} are no position")
    number = _within(int(found[1]), "file", 1 << _FILE_BITS)
    _within(place, "pos", 1 << _POSITION_BITS)
    within = _within(row if type(row) is int else 0, "row", 1 << ROW_BITS)
    return (number << _POSITION_BITS | place) << ROW_BITS | within


def _within(value: int, name: str, limit: int) -> int:
    if not 0 <= value < limit:
        raise InvalidRecord("out-of-range", f"source.{name} {value} is not within 0 and {limit - 1}")
    return value
