"""Commands whose modules are loaded when they are asked for: a worker does not carry the libraries of pages and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group

_MARKUP: Final = "rich"


class Place(NamedTuple):
    """Where a command is: the module and the name in it, of a function or of a `typer.Typer` with commands of its own.

    `summary` is the first paragraph of its help, for the list of all commands.
    """

    module: str
    name: str
    summary: str
    hidden: bool = False


class LateCommands(MutableMapping[str, Any]):
    """Name → click command, made at its first use; `places` tells where each is.

    Args:
        places: name → where the command is.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self.places = dict(places)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _load(name, self.places[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        self.places.pop(name, None)
        self._made.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self.places or name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter({**self.places, **self._made})

    def __len__(self) -> int:
        return len({**self.places, **self._made})


def late_group(places: Mapping[str, Place]) -> type[TyperGroup]:
    """The class of a group with these commands, for `typer.Typer(cls=…)`; help lists them in this order."""

    class LateGroup(TyperGroup):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.commands = LateCommands(places)

        def list_commands(self, ctx: Any) -> list[str]:
            del ctx
            return list(self.commands)

        def format_help(self, ctx: Any, formatter: Any) -> None:
            # The list shows a line of each command, which must not cost the libraries of all of them.
            late, self.commands = self.commands, {name: _outline(name, place) for name, place in places.items()}
            try:
                super().format_help(ctx, formatter)
            finally:
                self.commands = late

    return LateGroup


def _outline(name: str, place: Place) -> TyperCommand:
    """The command as a list of commands shows it."""
    return TyperCommand(name, help=place.summary, hidden=place.hidden)


def _load(name: str, place: Place) -> Any:
    found = getattr(import_module(place.module), place.name)
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
    else:
        alone = typer.Typer()
        alone.command(name)(found)
        (info,) = alone.registered_commands
        command = get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=_MARKUP)
    command.name = name
    command.hidden = place.hidden
    return command
