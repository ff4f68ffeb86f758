"""How far a MySQL or MariaDB source was read, kept in `trueup.cdc-state`, and whether the server still has what follows.

The entry stands beside the changes that it speaks of: if the broker's data are replaced it is gone with them, and the next
start copies all tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson
import pymysql
from pymysql.connections import Connection

from cdc.mysql_envelope import Place
from cdc.mysql_source import Server, address_of, binlog_sizes, query
from cdc.position import position_of
from cdc.reader_state import read_state
from trueup.model.errors import ConfigurationError
from trueup.settings import SourceSettings

_KEY: Final = "binlog:"


class ReadMark(NamedTuple):
    """Everything up to `file` and `pos`, the end of a transaction, is delivered for `tables` (labels).

    `identity` is the server's own, "" where it has none; `gtids` are MariaDB's last transactions, domain → GTID.
    """

    identity: str
    file: str
    pos: int
    gtids: Mapping[str, str]
    tables: tuple[str, ...]

    @property
    def place(self) -> Place:
        """Where reading goes on."""
        return Place(self.file, self.pos)


def mark_key(source_name: str) -> str:
    """The key of a source's entry."""
    return f"{_KEY}{source_name}"


def encode_mark(mark: ReadMark) -> bytes:
    """The entry as JSON."""
    return orjson.dumps(mark._asdict())


def read_mark(bootstrap: str, source_name: str) -> ReadMark | None:
    """The newest mark of a source; None before its first copy was complete. Errors: UnavailableError."""
    found = read_state(bootstrap, mark_key(source_name))
    if found is None:
        return None
    held = orjson.loads(found)
    return ReadMark(held["identity"], held["file"], held["pos"], held["gtids"], tuple(held["tables"]))


def gtids_at(connection: Connection, place: Place) -> dict[str, str]:
    """MariaDB's last transactions before a place, domain → GTID; empty where the server cannot tell."""
    try:
        rows = query(connection, "SELECT BINLOG_GTID_POS(%s, %s) AS held", (place.file, place.pos))
    except pymysql.MySQLError:
        return {}
    told = str(rows[0]["held"] or "")
    return {gtid.split("-")[0]: gtid for gtid in told.split(",") if gtid}


def broken(connection: Connection, server: Server, mark: ReadMark) -> str:
    """Why reading cannot go on from a mark, in words; "" when it can."""
    if mark.identity != server.identity:
        return f"the source is another server ({server.identity}) than the one that was read ({mark.identity})"
    sizes = binlog_sizes(connection)
    if mark.file not in sizes:
        first = next(iter(sizes), "none")
        return f"the binlog {mark.file} at {mark.pos}, up to which was read, is gone: the first one left is {first}"
    if mark.pos > sizes[mark.file]:
        return f"the binlog {mark.file} ends before {mark.pos}, up to which was read: it is another one"
    held = gtids_at(connection, mark.place)
    if mark.gtids and held and dict(mark.gtids) != held:
        return f"the binlog {mark.file} does not hold at {mark.pos} what was read there: it is another one"
    return ""


def check_order(mark: ReadMark, now: Place, source: SourceSettings) -> None:
    """Versions only grow: a copy made now must come after all that was told before.

    Raises:
        ConfigurationError: the binlog was numbered anew, so that what is told now would count as old.
    """
    if position_of(now._asdict()) > position_of(mark.place._asdict()):
        return
    number = int(mark.file.rpartition(".")[2]) + 1
    raise ConfigurationError(
        f"the binlog of the source begins anew at {now.file}, before {mark.file} up to which was read: "
        "its changes would count as older than those that are known",
        where=address_of(source),
        remedy=f"RESET MASTER TO {number} on the source (MySQL 8.4: RESET BINARY LOGS AND GTIDS TO {number}), "
        "and start the reader again; or give the source another source.name",
    )
