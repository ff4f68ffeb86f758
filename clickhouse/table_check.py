"""Whether ClickHouse is as this version of trueup needs it: every fault at once, and nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from clickhouse.analyst import ANALYST
from clickhouse.client import RefusedError, connect, translated_errors
from clickhouse.definition import Definition
from clickhouse.migrate import Migration, applied_migrations, migrations
from clickhouse.schema import DEFINITIONS
from clickhouse.views import VIEWS
from trueup.model.errors import ConfigurationError, TrueupError
from trueup.model.faults import Checked, Fault, fault_of
from trueup.settings import ClickHouseSettings

_PROBED: Final = "watermark"
"""A table that an analyst tries to write nothing to."""

_READ: Final = "v_watermarks"
"""A view that an analyst reads."""

_MIGRATE: Final = "start trueup again: it applies what is missing"


class HeldTable(NamedTuple):
    """A table as ClickHouse has it: column → type in their order, engine, and sorting key as its columns."""

    columns: dict[str, str]
    engine: str
    key: tuple[str, ...]


def check_clickhouse(settings: ClickHouseSettings) -> Checked:
    """Compare the server with migrations and definitions, and try the rights of both users by inserts of no rows.

    A server that is away, or refuses the user, is one fault.
    """
    where = f"ClickHouse at {settings.host}:{settings.port}, database {settings.database}"
    facts: list[str] = []
    faults: list[Fault] = []
    try:
        with closing(connect(settings)) as client:
            with translated_errors(where):
                applied = applied_migrations(client, settings.database)
            held, views = _held_tables(client, settings.database)
            facts += [f"{where} (version {client.server_version})", f"{len(applied)} migrations, {len(held)} tables"]
            faults += migration_faults(migrations(), applied, where)
            for definition in DEFINITIONS.values():
                faults += table_faults(definition, held.get(definition.name), where)
            faults += _right_faults(client, settings, held.keys() & DEFINITIONS.keys(), where)
            faults += _view_faults(client, settings, views, where)
        if _PROBED in held:
            more = _check_analyst(settings, where)
            facts += more.facts
            faults += more.faults
    except TrueupError as error:
        faults.append(fault_of(error)._replace(remedy=error.remedy or "see the log of ClickHouse"))
    return Checked(facts, faults)


def migration_faults(known: Sequence[Migration], applied: Mapping[int, tuple[str, str]], where: str) -> list[Fault]:
    """Migrations that are missing, have changed since, or are of a newer version. Pure."""
    faults = []
    for migration in known:
        recorded = applied.get(migration.number)
        if recorded is None:
            faults.append(Fault(f"migration {migration.name} is not applied", where, _MIGRATE))
        elif recorded != (migration.name, migration.checksum):
            what = f"migration {migration.name} was applied as {recorded[0]} with another content"
            faults.append(Fault(what, where, "restore the file and put the change into a new migration"))
    for number in sorted(applied.keys() - {migration.number for migration in known}):
        what = f"the database has migration {applied[number][0]}, which this version of trueup does not know"
        faults.append(Fault(what, where, "run the newer version"))
    return faults


def table_faults(definition: Definition, held: HeldTable | None, where: str) -> list[Fault]:
    """How a table differs from its definition. Pure."""
    place = f"{where}, table {definition.name}"
    if held is None:
        remedy = f"{_MIGRATE}. If its migration is recorded, restore the table from a backup"
        return [Fault(f"table {definition.name} does not exist", place, remedy)]
    faults = []
    remedy = "change it back with ALTER TABLE, as clickhouse/migrations has it"
    wanted = {column.name: column.type for column in definition.columns}
    for name, type_name in wanted.items():
        if name not in held.columns:
            faults.append(Fault(f"there is no column {name} {type_name}", place, remedy))
        elif held.columns[name] != type_name:
            faults.append(Fault(f"column {name} has the type {held.columns[name]}, not {type_name}", place, remedy))
    faults += [
        Fault(f"there is a column {name} that this version of trueup does not know", place, remedy)
        for name in held.columns.keys() - wanted.keys()
    ]
    if not held.engine.endswith("ReplacingMergeTree"):
        what = f"its engine is {held.engine}, not ReplacingMergeTree: repeated rows would count twice"
        faults.append(Fault(what, place, "make it anew and copy the rows over"))
    if held.key != definition.key:
        what = f"it is sorted by {', '.join(held.key)}, not {', '.join(definition.key)}: rows would replace others"
        faults.append(Fault(what, place, "make it anew and copy the rows over"))
    return faults


def _held_tables(client: Client, database: str) -> tuple[dict[str, HeldTable], set[str]]:
    """The tables of the database by name, and the names of its views."""
    with translated_errors(f"the catalogue of {database}"):
        tables = client.query(
            "SELECT name, engine, sorting_key FROM system.tables WHERE database = {database:String}",
            {"database": database},
        ).result_rows
        rows = client.query(
            "SELECT table, name, type FROM system.columns WHERE database = {database:String} ORDER BY table, position",
            {"database": database},
        ).result_rows
    columns: dict[str, dict[str, str]] = {}
    for table, name, type_name in rows:
        columns.setdefault(table, {})[name] = type_name
    held = {
        name: HeldTable(columns.get(name, {}), engine, tuple(part.strip("( )") for part in key.split(",")))
        for name, engine, key in tables
        if engine != "View"
    }
    return held, {name for name, engine, _ in tables if engine == "View"}


def _right_faults(client: Client, settings: ClickHouseSettings, tables: Iterable[str], where: str) -> list[Fault]:
    """Tables that the user of the settings may not read or write."""
    faults = []
    for table in sorted(tables):
        refused = _refusal(client, _nothing_into(settings.database, table))
        if refused:
            what = f"the user {settings.user} may not read and write it: {refused}"
            remedy = f"GRANT SELECT, INSERT ON {settings.database}.* TO {settings.user}"
            faults.append(Fault(what, f"{where}, table {table}", remedy))
    return faults


def _view_faults(client: Client, settings: ClickHouseSettings, held: Collection[str], where: str) -> list[Fault]:
    """Views that are missing, or cannot be read because what they read is not there any more."""
    faults = []
    for view in [view.name for view in VIEWS]:
        place = f"{where}, view {view}"
        if view not in held:
            faults.append(Fault(f"view {view} does not exist", place, _MIGRATE))
            continue
        refused = _refusal(client, f"SELECT * FROM {settings.database}.{view} LIMIT 0")
        if refused:
            remedy = "see to the table below it first; then drop the view and make it as clickhouse/migrations has it"
            faults.append(Fault(f"view {view} cannot be read: {refused}", place, remedy))
    return faults


def _check_analyst(settings: ClickHouseSettings, where: str) -> Checked:
    """Whether the analyst can come in, and can write nothing; where no password is set, it is not looked at."""
    if not settings.analyst_password.get_secret_value():
        return Checked([f"the user {ANALYST} is not looked at: clickhouse.analyst_password is not set"], [])
    place = f"{where}, user {ANALYST}"
    as_analyst = settings.model_copy(
        update={"user": ANALYST, "password": settings.analyst_password, "analyst_password": SecretStr("")}
    )
    try:
        with closing(connect(as_analyst)) as client:
            refused = _refusal(client, _nothing_into(settings.database, _PROBED))
            unread = _refusal(client, f"SELECT 1 FROM {settings.database}.{_READ} LIMIT 1")
    except ConfigurationError as error:
        return Checked([], [Fault(f"the user {ANALYST} cannot come in: {error.what}", place, error.remedy)])
    if unread:
        remedy = "grant it the views, as clickhouse/grants/analyst.sql does"
        return Checked([], [Fault(f"the user {ANALYST} cannot read {_READ}: {unread}", place, remedy)])
    if refused:
        return Checked([f"the user {ANALYST} may only read"], [])
    remedy = "take its right to write away; clickhouse/grants/analyst.sql has the rights it needs"
    return Checked([], [Fault(f"the user {ANALYST} may write", place, remedy)])


def _nothing_into(database: str, table: str) -> str:
    return f"INSERT INTO {database}.{table} SELECT * FROM {database}.{table} WHERE 0"


def _refusal(client: Client, statement: str) -> str:
    """Why the server refuses a statement, in one line; "" where it does not. UnavailableError when it does not answer."""
    try:
        with translated_errors(""):
            client.command(statement)
    except (ConfigurationError, RefusedError) as error:
        return error.what.splitlines()[0]
    return ""
