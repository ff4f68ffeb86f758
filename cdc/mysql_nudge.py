"""A row that is written where the tables rest, so that Debezium's connector for MySQL has something to read.

The connector tells its place only with events: without a next one, even the end of the last transaction stays untold. MySQL has
no message that stands in the log alone, so a small table takes its place. It is not among those that are read.
"""

from __future__ import annotations

from typing import Final

import pymysql
from pymysql.connections import Connection

from cdc.mysql_source import address_of, query
from trueup.model.errors import ConfigurationError
from trueup.model.faults import Fault
from trueup.settings import SourceSettings

HEARTBEAT_TABLE: Final = "trueup_heartbeat"
_WRITE: Final = (
    f"INSERT INTO `{HEARTBEAT_TABLE}` (id, told_at) VALUES (1, now(6)) ON DUPLICATE KEY UPDATE told_at = now(6)"
)
_REFUSED: Final = frozenset({1054, 1142, 1143, 1146})
"""Error numbers of a table or column that is not there or may not be written."""


def nudge(connection: Connection, source: SourceSettings) -> None:
    """Write the row. Errors: ConfigurationError when the table is not there or the user may not write it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE)
    except (pymysql.ProgrammingError, pymysql.OperationalError) as error:
        if error.args[0] not in _REFUSED:
            raise
        what = f"{HEARTBEAT_TABLE} cannot be written: {error.args[1]}"
        raise ConfigurationError(what, where=address_of(source), remedy=_remedy(source)) from error


def nudge_faults(connection: Connection, source: SourceSettings) -> list[Fault]:
    """What stands in the way of `nudge`, as far as it can be seen without writing."""
    found = query(
        connection,
        "SELECT 1 AS held FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
        (source.database, HEARTBEAT_TABLE),
    )
    if found:
        return []
    what = f"there is no table {HEARTBEAT_TABLE}: while the tables rest, the connector's place and with it time stand still"
    return [Fault(what, address_of(source), _remedy(source))]


def _remedy(source: SourceSettings) -> str:
    table = f"`{source.database}`.`{HEARTBEAT_TABLE}`"
    return (
        f"CREATE TABLE {table} (id tinyint PRIMARY KEY, told_at datetime(6) NOT NULL); "
        f"GRANT SELECT, INSERT, UPDATE ON {table} TO '{source.user}'@'…'"
    )
