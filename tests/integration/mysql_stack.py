"""What the tests of the binlog reader share: MariaDB and Kafka, a database per test, a reader in a thread, an oracle in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pymysql.connections import Connection

from cdc.mysql import run
from cdc.mysql_source import master_status
from cdc.source_tables import SourceTable
from cdc.topics import ensure_topics, source_topics, topic_plan
from tests.integration.cdc_stack import PARTITIONS, Message, Reader, read_topics, told_by, wait_until
from tests.integration.mariadb_server import PASSWORD, MariaDb
from tests.integration.mirror import Mirror, mirror_of
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.service import Backoff
from trueup.embedded.supervisor import Supervisor
from trueup.model.change import Change, Truncation
from trueup.model.errors import TrueupError
from trueup.model.tables import TABLES, Table
from trueup.settings import KafkaSettings, Settings, SourceSettings
from trueup.upstream.mysql_schema import create_statements

USER = "trueup"
"""Has what docs/cdc.md grants, and no more."""


@dataclass(frozen=True)
class MysqlStack:
    server: MariaDb
    kafka: Kafka
    supervisor: Supervisor

    def source(self, name: str) -> MysqlSource:
        """A database of its own, with empty tables, and its topics."""
        with closing(self.server.connect()) as admin, admin.cursor() as cursor:
            for statement in create_statements(name):
                cursor.execute(statement)
            cursor.execute(f"CREATE USER IF NOT EXISTS '{USER}'@'{LOOPBACK}' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT SELECT ON `{name}`.* TO '{USER}'@'{LOOPBACK}'")
            cursor.execute(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{USER}'@'{LOOPBACK}'")
        source = SourceSettings(
            kind="mysql",
            name=name,
            port=self.server.port,
            user=USER,
            password=SecretStr(PASSWORD),
            database=name,
        )
        ensure_topics(self.kafka.bootstrap, topic_plan([name], name, PARTITIONS))
        return MysqlSource(self, Settings(source=source, kafka=KafkaSettings(bootstrap=self.kafka.bootstrap)))


@dataclass(frozen=True)
class MysqlSource:
    stack: MysqlStack
    settings: Settings

    @property
    def name(self) -> str:
        return self.settings.source.name

    @property
    def database(self) -> str:
        return self.settings.source.database

    def connect(self) -> Connection:
        return self.stack.server.connect(self.database)

    def query(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def purge(self) -> None:
        """Throw away all binlogs but the one that is written. The server keeps what a connection that broke off was sent last,
        until it notices.
        """
        with closing(self.connect()) as connection:
            last = master_status(connection).file

        def is_alone() -> bool:
            self.query(f"PURGE BINARY LOGS TO '{last}'")
            return [row[0] for row in self.query("SHOW BINARY LOGS")] == [last]

        wait_until(is_alone)

    def now_us(self) -> int:
        return int(self.query("SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED)")[0][0])

    def messages(self, *topics: str) -> list[Message]:
        """Everything in the topics, by default those of the tables, one partition after another."""
        return read_topics(self.stack.kafka.bootstrap, topics or tuple(source_topics(self.name, self.database)))

    def told(self) -> list[tuple[Message, Change | Truncation]]:
        """All messages of the tables with what they say."""
        return told_by(self.messages(), self.name, self.database)

    def changes(self) -> list[tuple[Message, Change]]:
        return [(message, event) for message, event in self.told() if isinstance(event, Change)]

    def mirror(self) -> Mirror:
        """The rows as the messages tell them."""
        return mirror_of(event for _, event in self.told())

    def truth(self) -> Mirror:
        """The same from the database's own SQL. Amounts are taken to have two digits."""
        return {
            name: {row[0]: row[1:] for row in self.query(_select(table, self.database))}
            for name, table in TABLES.items()
        }


_AS_DECODED = {
    "money": "CAST({0} * 100 AS SIGNED)",
    "time": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {0})",
    "date": "DATEDIFF({0}, '1970-01-01')",
}


def _select(table: Table, database: str) -> str:
    columns = [_AS_DECODED.get(column.kind, "{0}").format(f"`{column.name}`") for column in table.columns]
    return f"SELECT `{table.primary_key}`, {', '.join(columns)} FROM `{database}`.`{table.name}`"


def insert_orders(source: MysqlSource, first: int, count: int) -> None:
    source.query(
        "INSERT INTO orders SELECT seq, 1, 'USD', 10.55, 1, 0.5, '{\"rate\": 0.05}', 'created', NULL, now(6)"
        f" FROM seq_{first}_to_{first + count - 1}"
    )


class BinlogReader(Reader):
    """The reader of the binlog in a thread of this process."""

    def _run(self) -> None:
        try:
            run(self._settings, self._stop, self.counters, self._more_tables)
        except TrueupError as error:
            self.error = error


@contextmanager
def reading(source: MysqlSource, *more_tables: SourceTable) -> Iterator[BinlogReader]:
    reader = BinlogReader(source.settings, more_tables)
    try:
        yield reader
    finally:
        reader.stop()


@contextmanager
def running_stack(data_dir: Path, *options: str, backoff: Backoff | None = None) -> Iterator[MysqlStack]:
    server = MariaDb(data_dir, free_port(), options)
    kafka = Kafka(data_dir, free_port(), free_port())
    backoff = backoff or Backoff(first_seconds=0.1)
    supervisor = Supervisor(data_dir, [server.service(), kafka.service()], backoff=backoff)
    supervisor.start()
    try:
        yield MysqlStack(server, kafka, supervisor)
    finally:
        supervisor.stop()
