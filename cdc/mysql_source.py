"""A MySQL or MariaDB server as a source: how to connect, whether it can be read, and where its binlog stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pymysql
from pymysql.connections import Connection
from pymysql.converters import encoders
from pymysql.cursors import DictCursor

from cdc.credentials import password_of
from cdc.mysql_columns import MysqlColumn, catalogue_column
from cdc.mysql_envelope import Place
from cdc.mysql_fitting import misfit
from cdc.mysql_tls import tls_arguments
from cdc.source_tables import SourceTable
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.faults import Fault
from trueup.settings import SourceSettings

CONNECT_TIMEOUT_SECONDS: Final = 10
READ_TIMEOUT_SECONDS: Final = 30
WRITE_TIMEOUT_SECONDS: Final = 600
"""How long the server waits for us to take what it sends, while the broker is slow."""

_PARSE_ERROR: Final = 1064
_REFUSED: Final = frozenset({1044, 1045, 1049, 1142, 1227, 1698})
"""Error numbers that no second attempt mends: of the user, the password, the database, a privilege."""

_SESSION: Final = (
    f"SET SESSION net_write_timeout = {WRITE_TIMEOUT_SECONDS}, SESSION time_zone = '+00:00', SESSION sql_mode = ''"
)

_NEEDED: Final = {
    "log_bin": ("ON", "start the server with --log-bin"),
    "binlog_format": ("ROW", "SET GLOBAL binlog_format = 'ROW'"),
    "binlog_row_image": ("FULL", "SET GLOBAL binlog_row_image = 'FULL'"),
    "binlog_row_metadata": ("FULL", "SET GLOBAL binlog_row_metadata = 'FULL'"),
    "log_bin_compress": ("OFF", "SET GLOBAL log_bin_compress = OFF"),
    "binlog_transaction_compression": ("OFF", "SET GLOBAL binlog_transaction_compression = OFF"),
    "binlog_row_value_options": ("", "SET GLOBAL binlog_row_value_options = ''"),
}
"""Variable → what it must be, and how to set it; keep it in the server's configuration too."""

_OPTIONAL: Final = frozenset({"log_bin_compress", "binlog_transaction_compression", "binlog_row_value_options"})
"""Not every server has these."""


class Server(NamedTuple):
    """What is read: `mysql` or `mariadb`, and what tells this server from others ("" where it does not say)."""

    connector: str
    identity: str
    server_id: int


def address_of(source: SourceSettings) -> str:
    """Host, port and database, for errors."""
    return f"{source.host}:{source.port}/{source.database}"


def connection_settings(source: SourceSettings) -> dict[str, Any]:
    """Arguments of `pymysql.connect`, password included: not for logs.

    Errors: ConfigurationError for a password or certificates that cannot be read.
    """
    return {
        "host": source.host,
        "port": source.port,
        "user": source.user,
        "password": password_of(source),
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": READ_TIMEOUT_SECONDS,
        "init_command": _SESSION,
        **tls_arguments(source),
    }


def connect(source: SourceSettings, *, raw: bool = False) -> Connection:
    """An ordinary connection in autocommit mode; `raw` brings values as the bytes of their text.

    Raises:
        ConfigurationError: the server refuses the user or the database.
        UnavailableError: it does not answer.
    """
    form: dict[str, Any] = {"conv": encoders, "use_unicode": False} if raw else {}
    # A copy reads for as long as the broker takes what was read.
    patience = {"read_timeout": WRITE_TIMEOUT_SECONDS} if raw else {}
    try:
        return pymysql.connect(**{**connection_settings(source), "database": source.database, **form, **patience})
    except pymysql.MySQLError as error:
        raise refusal(error, source) from error


def refusal(error: Exception, source: SourceSettings) -> ConfigurationError | UnavailableError:
    """What an error of the driver means: something to set, or something to wait for."""
    number = error.args[0] if error.args else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    where = address_of(source)
    if number in _REFUSED:
        remedy = (
            f"GRANT SELECT ON `{source.database}`.* TO '{source.user}'@'…'; "
            f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{source.user}'@'…'; or correct source.user"
        )
        return ConfigurationError(f"the source refuses: {text}", where=where, remedy=remedy)
    return UnavailableError(f"the source does not go on: {text or type(error).__name__}", where=where)


def query(connection: Connection, statement: str, arguments: Sequence[object] = ()) -> list[dict[str, Any]]:
    """All rows of a result, by column."""
    with connection.cursor(DictCursor) as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())


def master_status(connection: Connection) -> Place:
    """Where the binlog is about to be continued. Errors: ConfigurationError without a binlog."""
    try:
        rows = query(connection, "SHOW MASTER STATUS")
    except pymysql.ProgrammingError as error:
        if error.args[0] != _PARSE_ERROR:
            raise
        rows = query(connection, "SHOW BINARY LOG STATUS")  # MySQL 8.4 and later
    if not rows:
        raise ConfigurationError("the source writes no binlog", remedy=_NEEDED["log_bin"][1])
    return Place(str(rows[0]["File"]), int(rows[0]["Position"]))


def binlog_sizes(connection: Connection) -> dict[str, int]:
    """The binlog files that the server still has, with their sizes in bytes."""
    return {str(row["Log_name"]): int(row["File_size"]) for row in query(connection, "SHOW BINARY LOGS")}


def server_faults(connection: Connection, source: SourceSettings) -> list[Fault]:
    """What the server does otherwise than is needed; each with the statement that mends it."""
    where, held = address_of(source), _variables(connection)
    faults = []
    for name, (needed, remedy) in _NEEDED.items():
        value = held.get(name, needed if name in _OPTIONAL else "not there")
        if value.upper() != needed:
            faults.append(Fault(f"{name} of the source is {value}, not {needed}", where, remedy))
    if held.get("server_id", "0") == "0":
        faults.append(Fault("server_id of the source is 0: it serves no readers", where, "SET GLOBAL server_id = 1"))
    return faults


def check_server(connection: Connection, source: SourceSettings) -> Server:
    """What the server is, if it writes its binlog as it is needed.

    Raises:
        ConfigurationError: it does not; the remedy names the statement.
    """
    for fault in server_faults(connection, source):
        raise ConfigurationError(fault.what, where=fault.where, remedy=fault.remedy)
    held = _variables(connection)
    connector = "mariadb" if "mariadb" in connection.get_server_info().lower() else "mysql"
    return Server(connector, held.get("server_uuid", ""), int(held["server_id"]))


def _variables(connection: Connection) -> dict[str, str]:
    wanted = ", ".join(f"'{name}'" for name in (*_NEEDED, "server_id", "server_uuid"))
    found = query(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})")
    return {str(row["Variable_name"]).lower(): str(row["Value"]) for row in found}


def columns_of(connection: Connection, table: SourceTable) -> tuple[MysqlColumn, ...]:
    """The columns of a table in their order; none for a table that is not there or may not be read."""
    found = query(
        connection,
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, DATETIME_PRECISION, NUMERIC_PRECISION,"
        " CHARACTER_MAXIMUM_LENGTH FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
        table.place,
    )
    return tuple(catalogue_column(row) for row in found)


def unfit_tables(connection: Connection, tables: Iterable[SourceTable]) -> Mapping[str, str]:
    """Label → why the table cannot be read as it is now."""
    unfit = {}
    for table in tables:
        columns = columns_of(connection, table)
        fault = misfit(table, columns)
        if not columns:
            unfit[table.label] = f"table {table.label} does not exist, or the user may not read it"
        elif fault is not None:
            unfit[table.label] = fault.what
        elif not _is_transactional(connection, table):
            unfit[table.label] = f"table {table.label} is not of the engine InnoDB: it cannot be copied consistently"
    return unfit


def unusable(unfit: Mapping[str, str], source: SourceSettings) -> ConfigurationError:
    """The error that tells what `unfit_tables` found."""
    return ConfigurationError(
        "; ".join(unfit.values()),
        where=address_of(source),
        remedy="set source.database to the one that holds the source tables, grant SELECT on it, and see the specs in `specs`",
    )


def _is_transactional(connection: Connection, table: SourceTable) -> bool:
    found = query(
        connection,
        "SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
        table.place,
    )
    return bool(found) and str(found[0]["engine"]).lower() == "innodb"
