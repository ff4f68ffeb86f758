"""The business of a PostgreSQL database on MariaDB as well: the same transactions, in the order of their commits."""

from __future__ import annotations

from contextlib import closing

import psycopg
from pymysql.connections import Connection

from cdc.pgoutput import Begin, Commit, Delete, Insert, Relation, Tuple, Unchanged, Update, parse
from tests.integration.mariadb_server import MariaDb
from trueup.model.tables import TABLES, Kind
from trueup.upstream.mysql_schema import create_statements

SLOT = "mariadb_replica"


class Replica:
    """Copies what is committed on PostgreSQL after `start` into a database of MariaDB.

    Args:
        dsn: of PostgreSQL, with the settlement schema.
        server: MariaDB.
        database: there.
    """

    def __init__(self, dsn: str, server: MariaDb, database: str) -> None:
        self._dsn = dsn
        self._server = server
        self._database = database
        self._relations: dict[int, Relation] = {}

    def make_tables(self) -> None:
        """Make the database and its tables on MariaDB."""
        with closing(self._server.connect()) as target, target.cursor() as cursor:
            for statement in create_statements(self._database):
                cursor.execute(statement)

    def start(self) -> None:
        """From here on, every change is copied."""
        names = ", ".join(f"public.{name}" for name in TABLES)
        with psycopg.connect(self._dsn, autocommit=True) as source:
            source.execute(f"CREATE PUBLICATION {SLOT} FOR TABLE {names}".encode())
            source.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (SLOT,))

    def copy(self) -> int:
        """Apply what was committed since the last call; the number of transactions."""
        transactions = 0
        with psycopg.connect(self._dsn, autocommit=True) as source, closing(self._connected()) as target:
            changes = source.execute(
                "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL,"
                " 'proto_version', '1', 'publication_names', %s)",
                (SLOT, SLOT),
            )
            for (data,) in changes:
                event = parse(bytes(data))
                if isinstance(event, Begin):
                    target.begin()
                elif isinstance(event, Commit):
                    target.commit()
                    transactions += 1
                elif isinstance(event, Relation):
                    self._relations[event.relation_id] = event
                elif isinstance(event, Insert | Update | Delete):
                    self._apply(target, event)
        return transactions

    def _connected(self) -> Connection:
        return self._server.connect(self._database)

    def _apply(self, target: Connection, event: Insert | Update | Delete) -> None:
        relation = self._relations[event.relation_id]
        table = TABLES[relation.table]
        names = [column.name for column in relation.columns]
        kinds = {column.name: column.kind for column in table.columns}
        key = names.index(table.primary_key)
        with target.cursor() as cursor:
            if isinstance(event, Delete):
                held = _values(event.old, names, kinds)
                cursor.execute(f"DELETE FROM `{table.name}` WHERE `{table.primary_key}` = %s", (held[key],))
                return
            new = _values(event.new, names, kinds)
            if isinstance(event, Insert):
                columns, marks = "`, `".join(names), ", ".join(["%s"] * len(names))
                cursor.execute(f"INSERT INTO `{table.name}` (`{columns}`) VALUES ({marks})", new)
                return
            old = _values(event.old, names, kinds) if event.old is not None else new
            changed = ", ".join(f"`{name}` = %s" for name in names)
            where = f"`{table.primary_key}` = %s"
            cursor.execute(f"UPDATE `{table.name}` SET {changed} WHERE {where}", [*new, old[key]])


def _values(row: Tuple, names: list[str], kinds: dict[str, Kind]) -> list[str | int | None]:
    return [_value(value, kinds[name]) for name, value in zip(names, row, strict=True)]


def _value(raw: bytes | Unchanged | None, kind: Kind) -> str | int | None:
    assert not isinstance(raw, Unchanged), "REPLICA IDENTITY FULL sends every value"
    if raw is None:
        return None
    text = raw.decode()
    if kind == "time":
        assert text.endswith("+00"), f"{text} is not UTC"
        return text.removesuffix("+00")
    return int(text == "t") if kind == "flag" else text
