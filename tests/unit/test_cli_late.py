"""Commands are loaded when they are asked for: all of them can be, and none brings what it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from trueup.cli import app
from trueup.cli.late import LateCommands, Place
from trueup.cli.service_commands import service

HEAVY = ("fastapi", "matplotlib", "weasyprint", "sqlalchemy")


def commands() -> list[str]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return list(group.commands)


@pytest.mark.parametrize("name", commands())
def test_every_command_loads_and_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"trueup {name}" in shown.output.replace("root", "trueup")


@pytest.mark.parametrize("group", [app, service])
def test_the_list_shows_of_each_command_what_it_says_of_itself(group: typer.Typer) -> None:
    made = typer.main.get_command(group)
    assert isinstance(made, TyperGroup)
    assert isinstance(made.commands, LateCommands)
    for name, place in made.commands.places.items():
        assert place.summary == str(made.commands[name].help).split("\n\n")[0], name


def test_the_list_of_commands_loads_none_of_them() -> None:
    asked = (
        "import sys; from typer.testing import CliRunner; from trueup.cli import app; "
        "print(CliRunner().invoke(app, ['--help']).output, sorted(name for name in sys.modules if name.startswith('trueup.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "Where the books disagree" in done.stdout
    assert "Processes of the stack" not in done.stdout
    assert "['trueup.cli.late']" in done.stdout


@pytest.mark.parametrize("modules", ["trueup.cli", "trueup.cli, trueup.cli.worker_service"])
def test_a_worker_carries_no_library_of_pages_or_reports(modules: str) -> None:
    asked = f"import sys, {modules}; sys.stdout.write(' '.join(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_a_command_is_made_once_and_only_when_asked_for() -> None:
    up, no = Place("trueup.cli.up_command", "up", "Up.", hidden=True), Place("no.such", "module", "No.")
    late = LateCommands({"up": up, "no": no})
    assert list(late) == ["up", "no"]
    assert len(late) == 2
    assert "no" in late
    assert late["up"] is late["up"]
    assert late["up"].hidden
    assert late.get("other") is None
    del late["no"]
    assert "no" not in late
