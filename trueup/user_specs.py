"""Users' own specs: which ones the settings name, the tables they need and the topics these are read from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cdc.files.declared import FILES_SCHEMA
from cdc.source_tables import SourceTable, settlement_tables
from cdc.topics import TopicPlan, TopicSpec, topic_plan
from reconcile.spec.legs import DEFAULT_SPEC
from reconcile.spec.load import load_spec, shipped_specs
from reconcile.spec.model import Leg, Spec, SpecGroup
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings, SourceSettings

_REMEDY: Final = "see `specs` in the settings and the files it names"


@dataclass(frozen=True, slots=True)
class UserSpecs:
    """The specs that run beside the settlement's.

    `topic_of` is source table as the specs name it → topic; `more_tables` are the tables that are read beside those of the
    settlement schema; `file_topics` are those that rows of files come on.
    """

    specs: tuple[Spec, ...]
    topic_of: dict[str, str]
    more_tables: tuple[SourceTable, ...]
    file_topics: frozenset[str] = frozenset()

    @property
    def groups(self) -> tuple[SpecGroup, ...]:
        """The groups of all specs."""
        return tuple(group for spec in self.specs for group in spec.groups)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of all legs, each once."""
        return tuple(dict.fromkeys(self.topic_of.values()))

    @property
    def database_topics(self) -> tuple[str, ...]:
        """Those that the reader of the database writes, and heartbeats tell the ends of."""
        return tuple(topic for topic in self.topics if topic not in self.file_topics)


def planned_topics(settings: Settings, specs: UserSpecs) -> TopicPlan:
    """Every topic that an installation with these settings and specs needs."""
    kafka = settings.kafka
    planned: dict[str, TopicSpec] = {}
    for source in settings.sources:
        legs = specs.topics if source is settings.source else ()
        plan = topic_plan(
            [source.name], source.schema_name, kafka.partitions, kafka.replication_factor, leg_topics=legs
        )
        planned |= {topic.name: topic for topic in plan.topics}
    return TopicPlan(tuple(planned.values()), kafka.replication_factor)


def read_user_specs(settings: Settings) -> UserSpecs:
    """The specs of the settings but the settlement's.

    Errors: SpecError for a file that is no spec, ConfigurationError where two specs do not go together.
    """
    specs = tuple(load_spec(name) for name in settings.specs if name != DEFAULT_SPEC)
    names = [spec.name for spec in specs]
    for name in sorted(set(names)):
        if names.count(name) > 1 or name == DEFAULT_SPEC:
            raise ConfigurationError(f"two specs are called {name}", where="specs", remedy="give one another name")
    legs = [leg for spec in specs for group in spec.groups for leg in group.legs]
    source = settings.source
    file_topics = frozenset(leg.source_table for leg in legs if is_of_files(leg, source))
    legs = [leg for leg in legs if leg.source_table not in file_topics]
    tables = {leg.source_table: source_table_of(leg, source) for leg in legs}
    known = {table.place: table for table in settlement_tables(source.schema_name)}
    more: dict[tuple[str, str], SourceTable] = {}
    for leg in legs:
        table = source_table_of(leg, source)
        held = known.get(table.place) or more.get(table.place)
        if held is not None and held.primary_key != table.primary_key:
            raise ConfigurationError(
                f"table {table.label} has the primary key {', '.join(table.primary_key)} in leg {leg.name}, and "
                f"{', '.join(held.primary_key)} elsewhere",
                where="specs",
                remedy=_REMEDY,
            )
        if table.place not in known:
            columns = dict.fromkeys((*(held.columns if held is not None else ()), *table.columns))
            kinds = dict.fromkeys((*(held.kinds if held is not None else ()), *table.kinds))
            more[table.place] = table._replace(columns=tuple(columns), kinds=tuple(kinds))
    topic_of = {name: table.topic(source.name) for name, table in tables.items()}
    topic_of |= {topic: topic for topic in sorted(file_topics)}
    return UserSpecs(specs, topic_of, tuple(more.values()), file_topics)


def absolute_specs(specs: Iterable[str]) -> list[str]:
    """The same specs for a process that runs in another directory: files by their whole path."""
    shipped = shipped_specs()
    return [name if name in shipped else str(Path(name).resolve()) for name in specs]


def is_of_files(leg: Leg, source: SourceSettings) -> bool:
    """Whether the rows of a leg come from a channel's files: its table is named `channel.files.table`."""
    channel, _, rest = leg.source_table.partition(".")
    return channel != source.name and rest.startswith(f"{FILES_SCHEMA}.") and rest.count(".") == 1


def source_table_of(leg: Leg, source: SourceSettings) -> SourceTable:
    """The table of a leg, keyed by its primary key; a spec names it as `table`, `schema.table` or by its topic."""
    *before, name = leg.source_table.split(".")
    if len(before) > 1 and before[0] != source.name:
        raise ConfigurationError(
            f"the topic {leg.source_table} is of another source than {source.name}",
            where=f"leg {leg.name}",
            remedy="name a table of the source that is read",
        )
    schema = before[-1] if before else source.schema_name
    primary_key = (leg.table.primary_key, *leg.table.also_primary)
    kinds = tuple((column.name, column.kind) for column in leg.table.columns)
    return SourceTable(schema, name, primary_key, primary_key, leg.topic_columns, kinds)
