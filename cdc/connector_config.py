"""The configuration of the Debezium connector that reads the source, and what must not stand in one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

import orjson

from cdc.replica_id import replica_id
from cdc.source_tables import SourceTable
from trueup.model.faults import Fault
from trueup.settings import Settings, SourceSettings

NO_DATA_MODES: Final = ("no_data", "never")
"""Values of `snapshot.mode` with which the connector copies nothing."""

SCHEMA_HISTORY_TOPIC: Final = "trueup-connect.schema-history"
"""Where a connector for MySQL keeps the tables' definitions; each connector needs its own, so the source's name follows."""

_OF_THE_SETTINGS: Final = "run `trueup cdc register`, which sets it"

_MUST_BE: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "decimal.handling.mode": (
        ("string", "precise"),
        "double turns amounts into binary floats, which loses cents; set it to string",
    ),
    "lsn.flush.mode": (
        ("connector",),
        "with another mode the slot may move past changes that Kafka has not acknowledged; leave it out",
    ),
    "tombstones.on.delete": (
        ("false",),
        "a topic that is compacted would lose rows: one key has many rows; set it to false",
    ),
}
"""Setting → the values that do not lose anything, and why others do."""

_DEFAULTS: Final[Mapping[str, str]] = {
    "decimal.handling.mode": "precise",
    "lsn.flush.mode": "connector",
    "tombstones.on.delete": "true",
    "heartbeat.interval.ms": "0",
    "slot.name": "debezium",
    "skipped.operations": "t",
}
"""What Debezium takes where nothing is set."""


def connector_name(settings: Settings) -> str:
    """The connector's name in Kafka Connect."""
    return settings.connect.connector or settings.source.name


def connector_config(settings: Settings, tables: Sequence[SourceTable]) -> dict[str, str]:
    """`cdc/connectors/postgres.json` or `mysql.json` with what these settings say.

    Args:
        settings: source, broker and Kafka Connect; the password is named, never told.
        tables: to be read.
    """
    source = settings.source
    config: dict[str, str] = orjson.loads(files("cdc").joinpath("connectors", f"{source.kind}.json").read_bytes())
    return {
        **config,
        **(_of_mysql(settings) if source.kind == "mysql" else _of_postgres(source)),
        "database.hostname": source.host,
        "database.port": str(source.port),
        "database.user": source.user,
        "database.password": settings.connect.password,
        "topic.prefix": source.name,
        "table.include.list": ",".join(table.label for table in tables),
        "message.key.columns": ";".join(f"{table.label}:{','.join(table.topic_key)}" for table in tables),
    }


def _of_postgres(source: SourceSettings) -> dict[str, str]:
    return {
        "database.dbname": source.database,
        "slot.name": source.slot,
        "publication.name": source.publication,
    }


def _of_mysql(settings: Settings) -> dict[str, str]:
    source = settings.source
    return {
        "database.include.list": source.database,
        "database.server.id": str(replica_id(source)),
        "schema.history.internal.kafka.bootstrap.servers": settings.kafka.bootstrap,
        "schema.history.internal.kafka.topic": f"{SCHEMA_HISTORY_TOPIC}.{source.name}",
    }


def config_faults(config: Mapping[str, str], wanted: Mapping[str, str], where: str) -> list[Fault]:
    """What would lose, hide or misplace changes in the configuration of a connector that somebody registered.

    Args:
        config: of the connector.
        wanted: what `connector_config` makes of the settings.
        where: names the connector.
    """
    faults = []
    for name, (allowed, why) in _MUST_BE.items():
        value = config.get(name, _DEFAULTS[name])
        if value not in allowed:
            faults.append(Fault(f"{name} is {value}", where, why))
    for name in ("topic.prefix", "slot.name", "database.dbname", "database.include.list"):
        value = config.get(name, _DEFAULTS.get(name, ""))
        if name in wanted and value != wanted[name]:
            faults.append(Fault(f"{name} is {value!r}, but the settings say {wanted[name]!r}", where, _OF_THE_SETTINGS))
    if int(config.get("heartbeat.interval.ms", _DEFAULTS["heartbeat.interval.ms"]) or 0) <= 0:
        what = (
            "heartbeat.interval.ms is 0: while the tables rest, the connector's position and with it time stand still"
        )
        faults.append(Fault(what, where, "set it to 200 or so"))
    skipped = config.get("skipped.operations", _DEFAULTS["skipped.operations"]).split(",")
    lost = [name for name in ("c", "u", "d", "t") if name in skipped]
    if lost:
        faults.append(Fault(f"skipped.operations leaves out {', '.join(lost)}", where, "set it to none"))
    return faults + _key_faults(config, wanted, where)


def _key_faults(config: Mapping[str, str], wanted: Mapping[str, str], where: str) -> list[Fault]:
    """The rows of an order meet in one partition only if every table is keyed as its topic must be."""
    keys = _keys(config.get("message.key.columns", ""))
    wrong = [label for label, columns in _keys(wanted["message.key.columns"]).items() if keys.get(label) != columns]
    if not wrong:
        return []
    what = f"message.key.columns does not key {', '.join(wrong)} as its topic is keyed"
    return [Fault(what, where, f"set it to {wanted['message.key.columns']}")]


def _keys(text: str) -> dict[str, str]:
    """Table → its columns, of `schema.table:column,column;…`."""
    parts = [part.partition(":") for part in text.replace(" ", "").split(";") if part]
    return {table: columns for table, _, columns in parts}
