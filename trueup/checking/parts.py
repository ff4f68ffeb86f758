"""Checks an installation part by part; what is wrong with one part does not hide what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from cdc.mysql_check import check_mysql
from cdc.source_check import NeededTable, check_source
from cdc.source_tables import settlement_tables
from cdc.topic_check import check_topics
from clickhouse.table_check import check_clickhouse
from reconcile.charging.load import load_charging
from reconcile.spec.errors import Problem, SpecError
from reconcile.spec.legs import DEFAULT_SPEC
from reconcile.spec.load import load_spec
from reconcile.spec.model import Spec
from trueup.checking.settings_check import SettingsRead, given_settings, read_settings
from trueup.embedded.runtime import read_runtime
from trueup.model.errors import TrueupError, UnavailableError
from trueup.model.faults import Checked, Fault, fault_of
from trueup.model.tables import TABLES
from trueup.settings import Settings, SourceSettings
from trueup.stack_files import STACK_FILE
from trueup.user_specs import UserSpecs, absolute_specs, planned_topics, read_user_specs, source_table_of


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the installation; one that was not looked at says why, and is no fault of its own."""

    name: str
    facts: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    skipped: str = ""


def check_installation(data_dir: Path) -> list[Part]:
    """Settings, specs, source, topics and ClickHouse. Everything is only looked at.

    Where a stack runs on the data directory, its services are the ones to look at, and the specs that it runs count beside
    those of the settings.
    """
    read = read_settings()
    running = running_settings_of(data_dir)
    settings = running or read.settings
    addresses = f"services of the stack on {data_dir}" if running else "services as set"
    specs, specs_part = _check_specs(read, running)
    # Its own settings have been used by the services that run, so they are in order.
    unusable = frozenset[str]() if running else read.unusable

    def live(name: str, sections: Sequence[str], check: Any) -> Part:
        wrong = [section for section in sections if section in unusable]
        if wrong:
            return Part(name, skipped=f"the settings of {', '.join(wrong)} cannot be used")
        checked: Checked = check()
        return Part(name, checked.facts, checked.faults)

    source, kafka = settings.source, settings.kafka
    plan = planned_topics(settings, specs)
    return [
        Part("settings", [addresses], read.faults),
        specs_part,
        live("source", ["source"], lambda: SOURCE_CHECKS[source.kind](source, needed_tables(settings, specs))),
        *(
            live(f"source {one.name}", ["more_sources"], partial(SOURCE_CHECKS[one.kind], one, settlement_needs(one)))
            for one in settings.more_sources
        ),
        live("topics", ["source", "kafka"], lambda: check_topics(kafka.bootstrap, plan)),
        live("ClickHouse", ["clickhouse"], lambda: check_clickhouse(settings.clickhouse)),
    ]


SOURCE_CHECKS: Final = {"postgres": check_source, "mysql": check_mysql}
"""Kind of the source → what checks it."""


def needed_tables(settings: Settings, specs: UserSpecs) -> list[NeededTable]:
    """The settlement's tables, and those of every leg."""
    source = settings.source
    return settlement_needs(source) + [
        NeededTable(
            source_table_of(leg, source), leg.table.columns, f"leg {leg.name} of group {group.name} in spec {spec.name}"
        )
        for spec in specs.specs
        for group in spec.groups
        for leg in group.legs
        if leg.source_table not in specs.file_topics
    ]


def settlement_needs(source: SourceSettings) -> list[NeededTable]:
    """The settlement's tables in one source."""
    return [
        NeededTable(table, TABLES[table.name].columns, "the settlement, which needs the columns of docs/cdc.md")
        for table in settlement_tables(source.schema_name)
    ]


def running_settings_of(data_dir: Path) -> Settings | None:
    """The settings of the stack that runs on the data directory, if one does."""
    try:
        read_runtime(data_dir)
        document: dict[str, Any] = orjson.loads((data_dir / STACK_FILE).read_bytes())
    except (UnavailableError, FileNotFoundError):
        return None
    return given_settings(document)


def _check_specs(read: SettingsRead, running: Settings | None) -> tuple[UserSpecs, Part]:
    """The specs that can be used, and what is wrong with the others."""
    part = Part("specs")
    named: dict[str, str] = {}
    if "specs" not in read.unusable:
        written = read.settings.specs
        named.update(zip(absolute_specs(written), written, strict=True))
    for name in running.specs if running is not None else ():
        named.setdefault(name, name)
    good: list[str] = []
    for name in named.values():
        try:
            spec = load_spec(name)
        except SpecError as error:
            part.faults.extend(faults_of(error.problems))
            continue
        good.append(name)
        part.facts.append(spec_line(spec))
    for name in _charging_names(read, running):
        try:
            part.facts.append(f"charging spec {load_charging(name).name}")
        except SpecError as error:
            part.faults.extend(faults_of(error.problems))
    settings = running or read.settings
    try:
        return read_user_specs(settings.model_copy(update={"specs": good})), part
    except TrueupError as error:
        part.faults.append(fault_of(error))
    return read_user_specs(settings.model_copy(update={"specs": [DEFAULT_SPEC]})), part


def _charging_names(read: SettingsRead, running: Settings | None) -> list[str]:
    names = [] if "charging" in read.unusable else [read.settings.charging.spec]
    if running is not None:
        names.append(running.charging.spec)
    return [name for name in dict.fromkeys(names) if name]


def faults_of(problems: Iterable[Problem]) -> list[Fault]:
    """The problems of specs, each with its file and line."""
    return [Fault(what, f"{file}, line {line}", remedy) for what, file, line, remedy in problems]


def spec_line(spec: Spec) -> str:
    """What a spec is, in one line."""
    rules = sum(len(group.rules) for group in spec.groups)
    return f"spec {spec.name} version {spec.version}: {rules} rules in {', '.join(group.name for group in spec.groups)}"
