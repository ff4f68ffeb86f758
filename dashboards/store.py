"""The small database of the people's side: accounts, sessions, tokens, saved filters, alert state. Never business data.

Whoever keeps something in it defines its tables on `METADATA`; `open_store` makes those that are missing. Times in it are
microseconds since the epoch.
"""

from __future__ import annotations

import os
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, event, insert, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from trueup.model.errors import ConfigurationError, UnavailableError

METADATA: Final = MetaData()
VERSION: Final = 1
"""Of the tables; a store of a higher one was made by a newer trueup."""

FILE_NAME: Final = "dashboard.sqlite"
BUSY_SECONDS: Final = 10.0
"""How long a writer waits for another one."""

_LOCK: Final = 7_265_757_512
"""Of Postgres' advisory lock under which tables are made: two services may start at once."""

_VERSIONS: Final = Table("store_version", METADATA, Column("version", Integer, primary_key=True))


def store_url(url: str, data_dir: Path) -> str:
    """The address of the store: what was set, or a file in the data directory."""
    return url or URL.create("sqlite", database=str(data_dir / FILE_NAME)).render_as_string()


def open_store(url: str) -> Engine:
    """A store whose tables are there; threads may share it.

    Every transaction of SQLite takes the write lock when it begins, so that none fails half-way; `reads(store)` does not.

    Args:
        url: `sqlite:///FILE`, or `postgresql://…`.

    Raises:
        ConfigurationError: the address is not usable, or the store was made by a newer version.
        UnavailableError: the database does not answer.
    """
    parsed = _parsed(url)
    shown = parsed.render_as_string(hide_password=True)
    engine = _sqlite(parsed) if parsed.drivername.startswith("sqlite") else create_engine(parsed, pool_pre_ping=True)
    try:
        with engine.begin() as connection:
            _make_tables(connection, shown)
    except SQLAlchemyError as error:
        engine.dispose()
        raise UnavailableError(
            f"the dashboard's database does not answer: {_first_line(error)}",
            where=shown,
            remedy="check dashboard.database_url, and that the database may be written",
        ) from error
    except ConfigurationError:
        engine.dispose()
        raise
    return engine


def reads(store: Engine) -> Engine:
    """The same store for transactions that only read: they wait for nobody."""
    return store.execution_options(begins="DEFERRED")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "the address of the dashboard's database cannot be read",
            where="dashboard.database_url",
            remedy="write it as postgresql://user:password@host/database, or leave it empty for a file",
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"} or (parsed.drivername == "sqlite") > bool(
        parsed.database
    ):
        raise ConfigurationError(
            f"the dashboard keeps nothing in {parsed.drivername!r}",
            where="dashboard.database_url",
            remedy="use a PostgreSQL database, or leave it empty for a file in the data directory",
        )
    return parsed


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        # Nobody else may read it from the first moment on, whatever the umask; SQLite's files beside it inherit the mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the dashboard's database cannot be opened: {error.strerror}",
            where=str(path),
            remedy="make its directory, writable for this user",
        ) from error
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # SQLite itself does not wait here: where another process opens the file at the same time, it refuses.
    for attempt in Retrying(
        retry=retry_if_exception_type(OperationalError),
        stop=stop_after_delay(BUSY_SECONDS),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    ):
        with attempt:
            cursor.execute("PRAGMA journal_mode = WAL")
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begins', 'IMMEDIATE')}")


def _make_tables(connection: Connection, shown: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    METADATA.create_all(connection)
    held = connection.scalar(select(_VERSIONS.c.version))
    if held is None:
        connection.execute(insert(_VERSIONS).values(version=VERSION))
    elif held > VERSION:
        raise ConfigurationError(
            f"the dashboard's database has tables of version {held}, this trueup knows {VERSION}",
            where=shown,
            remedy="run the newer trueup that made it, or restore a copy from before the upgrade",
        )


def _first_line(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0]
