"""Commands whose modules are loaded when they are asked for: a worker does not carry the libraries of pages and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info, get_group

_MARKUP: Final = "rich"


class Place(NamedTuple):
    """Where a command is: the module and the name in it, of a function or of a `typer.Typer` with commands of its own."""

    module: str
    name: str
    hidden: bool = False


class LateCommands(MutableMapping[str, Any]):
    """Name → click command, made at its first use.

    Args:
        places: name → where the command is.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = dict(places)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _load(name, self._places[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        self._places.pop(name, None)
        self._made.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter({**self._places, **self._made})

    def __len__(self) -> int:
        return len({**self._places, **self._made})


def late_group(places: Mapping[str, Place]) -> type[TyperGroup]:
    """The class of a group with these commands, for `typer.Typer(cls=…)`; help lists them in this order."""

    class LateGroup(TyperGroup):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.commands = LateCommands(places)

        def list_commands(self, ctx: Any) -> list[str]:
            del ctx
            return list(self.commands)

    return LateGroup


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
