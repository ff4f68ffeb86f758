"""`trueup check`: whether settings, specs and services can be used, and what another spec would change."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from reconcile.charging.load import load_charging
from reconcile.spec.errors import Problem, SpecError
from reconcile.spec.load import is_charging, load_spec
from reconcile.spec.model import Spec
from trueup.checking.impact_run import impact_of
from trueup.checking.parts import check_installation, faults_of
from trueup.cli.impact import impact_document, progress, show_impact
from trueup.cli.part_page import has_faults, parts_document, show_faults, show_parts
from trueup.settings import Settings


def check(
    spec: Annotated[
        str | None, typer.Option("--spec", help="Check one spec alone: a file, or the name of a shipped one.")
    ] = None,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
    source: Annotated[
        bool, typer.Option("--source", help="Print the functions that the specs are compiled to, as text.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    impact: Annotated[
        bool, typer.Option("--impact", help="Say what would change if the spec, or the specs of the settings, ran now.")
    ] = False,
    limit_months: Annotated[
        int | None, typer.Option("--limit-months", min=1, help="With --impact: only the newest so many months.")
    ] = None,
) -> None:
    """Check settings, specs, source, topics and ClickHouse, or one spec; print every error with place and remedy.

    Nothing is changed. The exit status is 1 if there is an error.
    """
    if impact:
        return _show_impact(data_dir, spec, limit_months, json)
    if spec is not None or source:
        return _check_specs([spec] if spec is not None else Settings().specs, source, json)
    parts = check_installation(data_dir)
    if json:
        _print_json(parts_document(parts))
    else:
        show_parts(parts)
    if has_faults(parts):
        raise typer.Exit(1)
    return None


def _show_impact(data_dir: Path, spec: str | None, limit_months: int | None, json: bool) -> None:
    try:
        with progress() as tell:
            found = impact_of(data_dir, spec, limit_months, tell)
    except SpecError as error:
        show_faults(Console(stderr=True, highlight=False), faults_of(error.problems))
        raise typer.Exit(1) from None
    if json:
        _print_json(impact_document(found))
    else:
        show_impact(found)


def _check_specs(names: Iterable[str], source: bool, json: bool) -> None:
    """Specs of rules or of charging, without any service."""
    specs: list[Spec] = []
    charging: list[str] = []
    problems: list[Problem] = []
    for name in names:
        try:
            if _is_charging(name):
                charging.append(load_charging(name).name)
            else:
                specs.append(load_spec(name))
        except SpecError as error:
            problems += error.problems
    if json:
        _print_json(
            {"specs": [_document(spec) for spec in specs], "errors": [problem._asdict() for problem in problems]}
        )
    elif source and not problems:
        sys.stdout.write("".join(group.source_text for spec in specs for group in spec.groups))
    else:
        console = Console(highlight=False)
        show_faults(console, faults_of(problems))
        for spec in specs:
            _show_spec(console, spec)
        for name in charging:
            console.print(f"charging spec {name} is in order.")
    if problems:
        raise typer.Exit(1)


def _is_charging(name: str) -> bool:
    """Whether the file is a charging spec; of a shipped name, the file that lies among the shipped specs."""
    path = Path(name)
    try:
        return is_charging(path.read_text(encoding="utf-8")) if path.is_file() else name == "carrier"
    except (OSError, UnicodeDecodeError):
        return False


def _document(spec: Spec) -> dict[str, Any]:
    groups = [
        {
            "name": group.name,
            "key": list(group.key),
            "legs": [{"name": leg.name, "table": leg.source_table} for leg in group.legs],
            "rules": [
                {"name": rule.name, "kind": rule.kind, "class": rule.rule_class, "leg": rule.leg}
                for rule in group.rules
            ],
        }
        for group in spec.groups
    ]
    return {"name": spec.name, "version": spec.version, "groups": groups}


def _show_spec(console: Console, spec: Spec) -> None:
    console.print(f"[bold]{spec.name}[/] version {spec.version} is in order. {spec.description}")
    for group in spec.groups:
        legs = ", ".join(f"{leg.name} ({leg.source_table})" for leg in group.legs)
        console.print(f"\ngroup [bold]{group.name}[/] by {', '.join(group.key)}: {legs}")
        table = Table("rule", "kind", "class", "judges", box=None, pad_edge=False)
        for rule in group.rules:
            table.add_row(rule.name, rule.kind, rule.rule_class, rule.leg or "the group")
        console.print(table)


def _print_json(document: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
