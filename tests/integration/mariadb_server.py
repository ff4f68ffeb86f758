"""A private MariaDB for tests: its own data directory, a free port of 127.0.0.1, run as a supervised child."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
from pymysql.connections import Connection

from trueup.embedded.ports import LOOPBACK, free_port
from trueup.embedded.service import Backoff, ProcessUser, Service
from trueup.embedded.supervisor import Supervisor
from trueup.embedded.system_user import let_pass, unprivileged_user

ADMIN = "admin"
PASSWORD = "throw-away"
SYSTEM_USER = "mysql"
SERVER_ID = 4711
INSTALL_SECONDS = 120.0
READY_SECONDS = 120.0
CHECK_SECONDS = 2

_INIT = f"""\
CREATE OR REPLACE USER '{ADMIN}'@'{LOOPBACK}' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{ADMIN}'@'{LOOPBACK}' WITH GRANT OPTION;
"""


@dataclass(frozen=True)
class MariaDb:
    """One server below `data_dir`; `more_options` win over those that every test needs."""

    data_dir: Path
    port: int
    more_options: tuple[str, ...] = ()

    def connect(self, database: str | None = None, user: str = ADMIN, password: str = PASSWORD) -> Connection:
        """A connection in autocommit mode; the server's time zone is UTC."""
        return pymysql.connect(
            host=LOOPBACK,
            port=self.port,
            user=user,
            password=password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CHECK_SECONDS,
        )

    def service(self) -> Service:
        """The service for the supervisor; the data directory is made at its first start."""
        user = unprivileged_user(SYSTEM_USER)
        return Service(
            name="mariadb",
            command=lambda: self._prepare(user),
            env={"TZ": "UTC"},
            ready=_answers(self),
            ready_timeout_seconds=READY_SECONDS,
            stop_timeout_seconds=30,
            port=self.port,
            user=user,
            cwd=Path("/"),
        )

    def _prepare(self, user: ProcessUser | None) -> Sequence[str]:
        folder = self.data_dir.resolve() / "mariadb"
        init_file = folder.with_suffix(".init.sql")
        # At every start: whoever shares the directory above, another run of the tests for one, may have closed it again.
        let_pass(folder)
        if not folder.exists():
            init_file.write_text(_INIT, encoding="ascii")
            _make_database(folder, user)
        return [
            *(_program("mariadbd"), "--no-defaults", f"--datadir={folder}", f"--init-file={init_file}"),
            *(f"--bind-address={LOOPBACK}", f"--port={self.port}"),
            # Relative to the data directory: whole paths of sockets are limited to 107 bytes.
            *("--socket=server.sock", f"--pid-file={folder / 'server.pid'}"),
            *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin", "--default-time-zone=+00:00"),
            *(f"--server-id={SERVER_ID}", "--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL"),
            *("--binlog-row-metadata=FULL", "--gtid-strict-mode=ON"),
            # What a killed process has written outlives it; only a machine that loses power would lose it.
            *("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0"),
            *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--performance-schema=OFF"),
            *("--max-connections=60", "--skip-name-resolve"),
            *self.more_options,
        ]


def _answers(server: MariaDb) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with closing(server.connect()) as connection:
                connection.ping(reconnect=False)
        except pymysql.MySQLError:
            return False
        return True

    return ready


def _make_database(folder: Path, user: ProcessUser | None) -> None:
    """Made beside its place: an interrupted start leaves nothing half made."""
    made = folder.with_suffix(".new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    if user is not None:
        os.chown(made, user.uid, user.gid)
    done = subprocess.run(
        [
            *("mariadb-install-db", "--no-defaults", f"--datadir={made}", "--skip-test-db", "--skip-name-resolve"),
            "--auth-root-authentication-method=normal",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INSTALL_SECONDS,
        check=False,
        cwd="/",
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    made.rename(folder)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is not installed: run scripts/setup"
    return found


@contextmanager
def running_mariadb(data_dir: Path, *more_options: str) -> Iterator[tuple[MariaDb, Supervisor]]:
    """A started server, and the supervisor that can kill it."""
    server = MariaDb(data_dir, free_port(), more_options)
    supervisor = Supervisor(data_dir, [server.service()], backoff=Backoff(first_seconds=0.1))
    supervisor.start()
    try:
        yield server, supervisor
    finally:
        supervisor.stop()
