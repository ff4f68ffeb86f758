"""The chDB engine: prepares its directory, opens it, hands out connections, and closes it."""

from __future__ import annotations

import importlib
import threading
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import structlog

from trueup.embedded.clickhouse.errors import SYNTAX_ERROR, EngineError, from_engine
from trueup.embedded.clickhouse.settings import EndpointSettings
from trueup.model.errors import ConfigurationError, UnavailableError

log = structlog.get_logger()

# The engine reads these as parts of its connection string.
_PATH_REFUSED: Final = frozenset("?&%#'\"\n")
_TABLE_ENGINES: Final = (
    *(f"{kind}MergeTree" for kind in ("", "Replacing", "Summing", "Aggregating", "Collapsing", "VersionedCollapsing")),
    *("Memory", "Null", "Log", "TinyLog", "StripeLog", "Set", "Join", "Merge", "View", "MaterializedView"),
    *("Dictionary", "Buffer", "GenerateRandom"),
)
_OWNER: Final = "owner"
_ANALYST: Final = "analyst"
"""Roles of the engine's one user; a connection for an analyst keeps only the second."""

_RIGHTS: Final = (
    "GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, KILL QUERY, SYSTEM, dictGet,"
    " CHECK ON *.*"
)
# What every connection starts with: ClickHouse's server defaults where chDB has a shell's.
_SESSION_DEFAULTS: Final = {
    "implicit_select": "0",
    "allow_introspection_functions": "0",
    "session_timezone": "UTC",
    "max_insert_threads": "1",
}


class Engine:
    """One open chDB directory. Connections of several threads run in parallel; one connection serves one thread."""

    def __init__(self, module: Any, address: str, default_database: str, analyst_database: str) -> None:
        self._module = module
        self._address = address
        self._default_database = default_database
        self._analyst_database = analyst_database
        self._anchor = module.connect(address)
        self._anchor_lock = threading.Lock()
        self.version = self._ask("SELECT version()")
        names = self._ask("SELECT groupConcat(',')(lower(name)) FROM system.table_functions")
        self.table_functions = frozenset(names.split(","))
        for database in (default_database, analyst_database):
            self._ask(f"CREATE DATABASE IF NOT EXISTS {quote_name(database)}")

    @classmethod
    def open(cls, settings: EndpointSettings) -> Engine:
        """Opens the engine on `data_dir`, which it creates if absent.

        Raises:
            ConfigurationError: the directory's name cannot be used.
            UnavailableError: the engine does not open, for instance because another process holds the directory.
        """
        data_dir = settings.data_dir.resolve()
        if _PATH_REFUSED & set(str(data_dir)):
            raise ConfigurationError(
                "The data directory's name has a character that chDB cannot take",
                where=str(data_dir),
                remedy="Use a path without ? & % # and quotes",
            )
        store = data_dir / "chdb"
        config = _write_config(data_dir / "config", settings)
        _prepare_default_database(store)
        # Not a plain import: loading chdb starts an engine, which takes 0.7 s and reads the time zone.
        module = importlib.import_module("chdb._chdb")
        try:
            return cls(module, f"{store}?config-file={config}", settings.default_database, settings.analyst_database)
        except RuntimeError as error:
            raise UnavailableError(
                f"chDB does not open its directory: {error}",
                where=str(store),
                remedy="Stop the other process that uses this directory, or choose another one",
            ) from error

    def connect(
        self, database: str | None, settings: Mapping[str, str], *, read_only: bool, for_analyst: bool = False
    ) -> Any:
        """A new connection with these settings; read-only ones cannot be changed any more, not by a SETTINGS clause.

        One for an analyst reads the views of the analyst's database and, of all other databases, `system` alone.

        Raises:
            EngineError: UNKNOWN_DATABASE, UNKNOWN_SETTING, or a value that does not fit.
        """
        connection = self._module.connect(self._address)
        try:
            start = self._analyst_database if for_analyst else self._default_database
            connection.query(f"USE {quote_name(database or start)}", "Null")
            connection.query(_set_statement({**_SESSION_DEFAULTS, **settings}), "Null")
            if for_analyst:
                connection.query(f"SET ROLE {_ANALYST}", "Null")
            if read_only:
                connection.query("SET readonly = 1", "Null")
        except RuntimeError as error:
            connection.close()
            raise from_engine(error) from error
        return connection

    def normal_text(self, text: bytes) -> bytes:
        """The query as the engine prints it, without comments and with one way of quoting.

        Raises:
            EngineError: SYNTAX_ERROR.
        """
        try:
            with self._anchor_lock:
                sql = "SELECT formatQuerySingleLine({q:String}) SETTINGS implicit_select = 0"
                answer = self._anchor.query(sql, "RowBinary", params={"q": _escape_parameter(text.decode())})
                printed = bytes(answer.bytes())
        except UnicodeDecodeError as error:
            raise EngineError(SYNTAX_ERROR, "Syntax error: the query is not UTF-8") from error
        except RuntimeError as error:
            raise from_engine(error) from error
        return _after_length(printed)

    def reads_only(self, text: bytes) -> bool:
        """Whether the engine's classifier calls the text exactly one read-only statement."""
        with self._anchor_lock:
            found = self._anchor.classify_query(text.decode(errors="replace"))
        return bool(found["statement_count"] == 1 and found["query_class"].name == "READ_ONLY")

    def kill(self, mark: str) -> None:
        """Stops the queries whose log_comment is mark; a query that has ended is no error."""
        with suppress(RuntimeError), self._anchor_lock:
            self._anchor.query(f"KILL QUERY WHERE Settings['log_comment'] = {quote_text(mark)} ASYNC", "Null")

    def kill_all(self) -> None:
        """Stops every query of the endpoint."""
        with suppress(RuntimeError), self._anchor_lock:
            self._anchor.query("KILL QUERY WHERE Settings['log_comment'] != '' ASYNC", "Null")

    def is_open(self) -> bool:
        """Whether the engine answers."""
        try:
            return self._ask("SELECT 1") == "1"
        except RuntimeError:
            return False

    def close(self) -> None:
        """Closes the engine; every other connection must be closed before."""
        with self._anchor_lock:
            self._anchor.close()

    def _ask(self, sql: str) -> str:
        with self._anchor_lock:
            return bytes(self._anchor.query(sql, "TabSeparatedRaw").bytes()).decode().strip()


def quote_name(name: str) -> str:
    """A name as a quoted identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def quote_text(text: str) -> str:
    """A text as a string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _set_statement(settings: Mapping[str, str]) -> str:
    return "SET " + ", ".join(f"{name} = {quote_text(value)}" for name, value in settings.items())


def _escape_parameter(text: str) -> str:
    """A text in the escaped form that query parameters are read in."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\0", "\\0")


def _after_length(value: bytes) -> bytes:
    """A RowBinary string without its LEB128 length."""
    at = 0
    while value[at] & 0x80:
        at += 1
    return value[at + 1 :]


def _prepare_default_database(store: Path) -> None:
    """Makes `default` a plain database that lives in the store.

    chDB would lay its own `default` over the file system, so that a table name could be a
    file's path. Its overlay is moved to another name (`default_database` in the configuration).
    The link is only a convenience of ClickHouse, which sets it again at each start; chDB's
    overlay would take the database's identity from it and collide with it.
    """
    metadata = store / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    definition = metadata / "default.sql"
    if not definition.exists():
        partial = metadata / "default.sql.tmp"
        partial.write_text(f"ATTACH DATABASE default UUID '{uuid.uuid4()}'\nENGINE = Atomic\n")
        partial.replace(definition)
    link = metadata / "default"
    if link.is_symlink():
        link.unlink()


def _write_config(directory: Path, endpoint: EndpointSettings) -> Path:
    """Writes the engine's configuration and its one user, who has no right to any source outside the store."""
    limits = endpoint.limits
    directory.mkdir(parents=True, exist_ok=True)
    server = {
        "default_database": "_overlay",
        "users_config": str(directory / "users.xml"),
        "max_server_memory_usage": limits.server_memory_bytes,
        "merges_mutations_memory_usage_soft_limit": limits.merge_memory_bytes,
        "mark_cache_size": limits.mark_cache_bytes,
        "primary_index_cache_size": limits.index_cache_bytes,
        "index_mark_cache_size": limits.index_cache_bytes,
        "query_condition_cache_size": limits.index_cache_bytes,
        "compiled_expression_cache_size": limits.index_cache_bytes,
        "background_pool_size": 2,
        "user_scripts_path": str(directory / "no-scripts"),
    }
    settings = "\n".join(f"  <{name}>{escape(str(value))}</{name}>" for name, value in server.items())
    roles = {
        _OWNER: (_RIGHTS, *(f"GRANT TABLE ENGINE ON {engine}" for engine in _TABLE_ENGINES)),
        _ANALYST: (f"GRANT SELECT ON {quote_name(endpoint.analyst_database)}.v_*",),
    }
    users = (
        "<clickhouse>\n <profiles><default></default></profiles>\n <quotas><default></default></quotas>\n <roles>\n"
        + "".join(f"  <{role}>{_grants(rights)}</{role}>\n" for role, rights in roles.items())
        + " </roles>\n"
        " <users><default>\n  <no_password/><networks><ip>::/0</ip></networks>\n"
        f"  <profile>default</profile><quota>default</quota>{_grants([f'GRANT {role}' for role in roles])}\n"
        " </default></users>\n</clickhouse>\n"
    )
    (directory / "users.xml").write_text(users)
    config = directory / "config.xml"
    config.write_text(f"<clickhouse>\n{settings}\n</clickhouse>\n")
    return config


def _grants(rights: Iterable[str]) -> str:
    return "<grants>" + "".join(f"\n    <query>{escape(right)}</query>" for right in rights) + "\n  </grants>"
