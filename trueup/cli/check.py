"""`trueup check`: whether settings and specs can be used, with every error at once."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconcile.charging.load import load_charging
from reconcile.spec.errors import Problem, SpecError
from reconcile.spec.load import is_charging, load_spec
from reconcile.spec.model import Spec
from trueup.settings import Settings


def check(
    spec: Annotated[
        str | None, typer.Option("--spec", help="Check one spec: a file, or the name of a shipped one.")
    ] = None,
    source: Annotated[
        bool, typer.Option("--source", help="Print the functions that the specs are compiled to, as text.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the settings and their specs, or one spec; print every error and leave with exit status 1 if there is one."""
    specs: list[Spec] = []
    charging: list[str] = []
    problems: list[Problem] = []
    for name in [spec] if spec is not None else Settings().specs:
        try:
            if spec is not None and _is_charging(name):
                charging.append(f"charging spec {load_charging(name).name}")
            else:
                specs.append(load_spec(name))
        except SpecError as error:
            problems += error.problems
    if json:
        sys.stdout.buffer.write(orjson.dumps(_document(specs, problems), option=orjson.OPT_INDENT_2) + b"\n")
    elif source and not problems:
        sys.stdout.write("".join(group.source_text for one in specs for group in one.groups))
    else:
        _show(specs, charging, problems)
    if problems:
        raise typer.Exit(1)


def _is_charging(name: str) -> bool:
    """Whether the file is a charging spec; of a shipped name, the file that lies among the shipped specs."""
    path = Path(name)
    try:
        return is_charging(path.read_text(encoding="utf-8")) if path.is_file() else name == "carrier"
    except (OSError, UnicodeDecodeError):
        return False


def _document(specs: Iterable[Spec], problems: Iterable[Problem]) -> dict[str, Any]:
    return {
        "specs": [
            {
                "name": spec.name,
                "version": spec.version,
                "groups": [
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
                ],
            }
            for spec in specs
        ],
        "errors": [problem._asdict() for problem in problems],
    }


def _show(specs: Iterable[Spec], charging: Iterable[str], problems: list[Problem]) -> None:
    console = Console(highlight=False)
    for problem in problems:
        console.print(Text.assemble(("error: ", "bold red"), problem.what))
        console.print(Text.assemble(("where: ", "bold"), f"{problem.file}, line {problem.line}"))
        console.print(Text.assemble(("to do: ", "bold"), problem.remedy))
    for spec in specs:
        console.print(f"[bold]{spec.name}[/] version {spec.version} is in order. {spec.description}")
        for group in spec.groups:
            legs = ", ".join(f"{leg.name} ({leg.source_table})" for leg in group.legs)
            console.print(f"\ngroup [bold]{group.name}[/] by {', '.join(group.key)}: {legs}")
            table = Table("rule", "kind", "class", "judges", box=None, pad_edge=False)
            for rule in group.rules:
                table.add_row(rule.name, rule.kind, rule.rule_class, rule.leg or "the group")
            console.print(table)
    for name in charging:
        console.print(f"{name} is in order.")
