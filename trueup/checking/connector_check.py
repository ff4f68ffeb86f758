"""Looks at Debezium in Kafka Connect, and registers its connector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from cdc.connect_offsets import ConnectorOffsets
from cdc.connect_rest import ConnectorStatus, ConnectRest
from cdc.connector_config import NO_DATA_MODES, config_faults, connector_config, connector_name
from cdc.mysql_state import read_mark
from cdc.postgres_slot import find_slot
from cdc.postgres_source import address_of, connect
from cdc.postgres_state import read_postgres_state
from cdc.source_tables import SourceTable, settlement_tables
from cdc.topic_check import check_topics
from trueup.checking.parts import SOURCE_CHECKS, Part, needed_tables
from trueup.model.errors import TrueupError
from trueup.model.faults import Checked, Fault, fault_of
from trueup.settings import Settings
from trueup.user_specs import planned_topics, read_user_specs

FAILED_TASK_REMEDY: Final = (
    "mend the cause, then restart it: POST /connectors/{name}/restart?includeTasks=true&onlyFailed=true"
)


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """How a connector fares: its state, the log in bytes that its slot holds back (None without a slot), and whether
    something reads the slot (None where the source has no slots: MySQL).
    """

    name: str
    status: ConnectorStatus | None
    lag_bytes: int | None
    slot_active: bool | None

    @property
    def faults(self) -> list[Fault]:
        """What is wrong, with what to do."""
        if self.status is None:
            what = f"the connector {self.name} is not registered"
            return [Fault(what, "Kafka Connect", "run `trueup cdc register`")]
        trouble = self.status.trouble
        if not trouble:
            return []
        return [Fault(trouble, f"connector {self.name}", FAILED_TASK_REMEDY.format(name=self.name))]


def tables_of(settings: Settings) -> tuple[SourceTable, ...]:
    """The tables that the connector is to read."""
    return (*settlement_tables(settings.source.schema_name), *read_user_specs(settings).more_tables)


def check_connector(settings: Settings) -> list[Part]:
    """Source, topics, and the connector: the one that is registered, or else the one that would be."""
    specs = read_user_specs(settings)
    source = SOURCE_CHECKS[settings.source.kind](settings.source, needed_tables(settings, specs))
    topics = check_topics(settings.kafka.bootstrap, planned_topics(settings, specs))
    connector = _check_connector(settings, tables_of(settings))
    return [
        Part("source", source.facts, source.faults),
        Part("topics", topics.facts, topics.faults),
        Part("connector", connector.facts, connector.faults),
    ]


def register_connector(settings: Settings, changed: Mapping[str, str]) -> list[Fault]:
    """Create the connector, or give it the configuration that the settings ask for; nothing is done if there are faults.

    Args:
        settings: source, broker and Kafka Connect.
        changed: settings of the connector that are to differ from `cdc/connectors/*.json`.

    Raises:
        UnavailableError: Kafka Connect, the source or the broker does not answer.
    """
    name, where = connector_name(settings), _where(settings)
    wanted = connector_config(settings, tables_of(settings))
    config = {**wanted, **changed}
    with closing(ConnectRest(settings.connect.url)) as rest:
        faults = config_faults(config, wanted, where)
        if rest.config(name) is None:
            faults += _copy_faults(settings, config["snapshot.mode"])
        faults = faults or _refusals(rest, config, name, where)
        if not faults:
            rest.register(name, config)
    return faults


def connector_state(settings: Settings) -> ConnectorState:
    """How the connector fares.

    Raises:
        UnavailableError: Kafka Connect or the source does not answer.
        ConfigurationError: the slot is not one of this database.
    """
    name = connector_name(settings)
    with closing(ConnectRest(settings.connect.url)) as rest:
        status = rest.status(name)
    if settings.source.kind != "postgres":
        return ConnectorState(name, status, None, slot_active=None)
    with connect(settings.source) as connection:
        slot = find_slot(connection, settings.source)
        row = connection.execute("SELECT (pg_catalog.pg_current_wal_lsn() - '0/0')::int8").fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    lag_bytes = None if slot is None else max(0, row[0] - slot.confirmed_lsn)
    return ConnectorState(name, status, lag_bytes, slot is not None and slot.active)


def _where(settings: Settings) -> str:
    return f"{settings.connect.url}, connector {connector_name(settings)}"


def _check_connector(settings: Settings, tables: Sequence[SourceTable]) -> Checked:
    name, where = connector_name(settings), _where(settings)
    wanted = connector_config(settings, tables)
    facts, faults = [], list[Fault]()
    try:
        with closing(ConnectRest(settings.connect.url)) as rest:
            version = rest.plugins().get(wanted["connector.class"])
            if version is None:
                what = f"Kafka Connect does not have {wanted['connector.class']}"
                remedy = f"put Debezium's connector for {settings.source.kind} on its plugin.path"
                return Checked([], [Fault(what, settings.connect.url, remedy)])
            facts.append(f"Debezium {version} at {settings.connect.url}")
            held = rest.config(name)
            facts.append(f"connector {name} is {'registered' if held else 'not registered yet'}")
            config = held or wanted
            faults += config_faults(config, wanted, where) + _refusals(rest, config, name, where)
            status = rest.status(name)
            if status is not None:
                faults += ConnectorState(name, status, None, slot_active=False).faults
        topic = settings.connect.offsets_topic
        ConnectorOffsets(settings.kafka.bootstrap, topic, name, settings.source.name).close()
    except TrueupError as error:
        faults.append(fault_of(error))
    return Checked(facts, faults)


def _refusals(rest: ConnectRest, config: Mapping[str, str], name: str, where: str) -> list[Fault]:
    """Every error that Connect and the connector itself find in a configuration."""
    found = rest.validate(config, name)
    return [
        Fault(f"{setting}: {' '.join(error.split())}", where, "correct the settings, or what they name")
        for setting, errors in found.items()
        for error in errors
    ]


def _copy_faults(settings: Settings, mode: str) -> list[Fault]:
    """A new connector must begin where a copy of the tables ends: its own, or that of our reader."""
    source = settings.source
    copies_itself = mode not in NO_DATA_MODES
    remedy = "start the reader with source.reader = debezium: it"
    if source.kind == "mysql":
        if not copies_itself:
            what = f"the connector makes no copy of the tables of {source.name}, and nothing else does"
            return [Fault(what, _where(settings), "leave snapshot.mode at initial")]
        if read_mark(settings.kafka.bootstrap, source.name) is None:
            return []
        what = f"our reader has read {source.name}: what was deleted since it stopped would never be told"
        return [Fault(what, _where(settings), f"{remedy} registers the connector where that stopped")]
    if copies_itself:
        return []
    with connect(source) as connection:
        slot = find_slot(connection, source)
    mark = read_postgres_state(settings.kafka.bootstrap, source.name).mark
    if slot is not None and not slot.lost and mark is not None and mark.slot == source.slot:
        return []
    what = f"no copy of the tables belongs to slot {source.slot}, and the connector makes none"
    remedy = f"{remedy} makes slot and copy, and registers the connector; or add --set snapshot.mode=initial"
    return [Fault(what, address_of(source), remedy)]
