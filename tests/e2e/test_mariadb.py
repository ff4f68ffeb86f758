"""The reference business on MariaDB, read from its binlog: the same books and the same discrepancies as its own SQL tells."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.e2e.books import check_books
from tests.e2e.rig import CHANGES_PER_SECOND, PARTITIONS, Rig, new_seed
from tests.integration.mariadb_replica import Replica
from tests.integration.mariadb_server import ADMIN, PASSWORD, MariaDb, running_mariadb
from trueup.demo.run import demo_rules
from trueup.embedded.postgres import DATABASE
from trueup.settings import Settings, StreamSettings
from trueup.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAUSE_SECONDS = 0.1
RAISED_MEANWHILE = ("trap was raised: late-within-grace", "trap was raised: missing-billing")
"""What is taken back by the end. Copying takes its time: what upstream wrote within the grace may be written here after it."""


class MariaStack(Stack):
    """A stack that reads MariaDB; the business itself runs on PostgreSQL, and is copied."""

    server: MariaDb

    @property
    def settings(self) -> Settings:
        """As of any stack, but for the source."""
        held = super().settings
        there: dict[str, Any] = {"port": self.server.port, "user": ADMIN, "password": SecretStr(PASSWORD)}
        return held.model_copy(update={"source": held.source.model_copy(update=there)})


class MariaRig(Rig):
    """A rig over such a stack."""

    def __init__(self, data_dir: Path, server: MariaDb) -> None:
        stack = MariaStack(
            data_dir,
            partitions=PARTITIONS,
            rules=demo_rules(),
            streams=StreamSettings(flush_interval_seconds=0.5),
            dashboard=False,
        )
        stack.server = server
        self.stack = stack
        self.supervisor = stack.supervisor


class Copying(threading.Thread):
    """Copies the business while it runs; its end copies the rest."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(name="copying")
        self._replica = replica
        self._over = threading.Event()
        self.transactions = 0

    def run(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            self.transactions += self._replica.copy()

    def finish(self) -> None:
        self._over.set()
        self.join()
        self.transactions += self._replica.copy()


@pytest.mark.timeout(900)
def test_the_books_of_a_business_on_mariadb_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_SOURCE__KIND", "mysql")
    (tmp_path / "server").mkdir()
    with running_mariadb(tmp_path / "server") as (server, _):
        rig = MariaRig(tmp_path / "stack", server)
        replica = Replica(rig.stack.postgres.dsn(), server, DATABASE)
        try:
            replica.make_tables()
            rig.open()
            replica.start()
            copying = Copying(replica)
            copying.start()
            try:
                with rig.load(new_seed(), CHANGES_PER_SECOND):
                    pass
            finally:
                copying.finish()
            rig.settle()
            assert copying.transactions > 0
            books = check_books(rig)
            wrong = [fault for fault in books.wrong if not fault.startswith(RAISED_MEANWHILE)]
            assert wrong == [], rig.logs("worker", "cdc")
            assert min(books.totals, books.rows, books.planted, books.standing) > 0
        finally:
            rig.close()
