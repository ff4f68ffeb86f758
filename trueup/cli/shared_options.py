"""Options that several commands have in common: declared once, as the parameters of the function that reads them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def shares(**readers: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of other functions.

    Args:
        readers: parameter of the command → function whose own parameters are Typer options or arguments; the command gets its
            result. Their names must differ between the readers and the command.
    """

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        parts = {name: inspect.signature(reader, eval_str=True).parameters for name, reader in readers.items()}
        own = inspect.signature(command, eval_str=True).parameters
        shown = [parameter for name, parameter in own.items() if name not in readers]
        shown += [parameter for part in parts.values() for parameter in part.values()]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            read = {name: readers[name](**{key: given.pop(key) for key in part}) for name, part in parts.items()}
            command(**given, **read)

        options = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
        vars(run)["__signature__"] = inspect.Signature(options)  # read by Typer
        return run

    return with_options
