"""The prompt of `trueup sql`: statements that end with `;`, history, completion, and a few commands of its own."""

from __future__ import annotations

import readline
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from trueup.model.errors import TrueupError

HISTORY_LINES_MAX: Final = 1000
HELP: Final = (
    r"end a query with ; · \l lists the views · \d VIEW describes one · \x turns rows on their side · \q leaves"
)
_WORDS: Final = frozenset(
    {"SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "DESC", "AND", "OR", "NOT", "IN", "BETWEEN"}
    | {"LIKE", "IS NULL", "AS", "WITH", "JOIN", "LEFT", "ON", "USING", "count()", "sum(", "min(", "max(", "quantile("}
    | {"uniq(", "countIf(", "sumIf(", "toDate(", "toStartOfHour(", "toStartOfMonth(", "now()", "dateDiff("}
)


class Statements:
    """Puts lines together to statements: one ends with `;` at the end of a line."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether a statement has begun."""
        return bool(self._lines)

    def drop(self) -> None:
        """Forgets the statement that has begun."""
        self._lines.clear()

    def add(self, line: str) -> str:
        """The statement that the line completes, without its `;`; "" where it completes none."""
        if not self._lines and not line.strip():
            return ""
        self._lines.append(line)
        text = "\n".join(self._lines).rstrip()
        if not text.endswith(";"):
            return ""
        self.drop()
        return text.rstrip(";").strip()


def run_prompt(
    console: Console,
    history: Path,
    names: Sequence[str],
    *,
    run: Callable[[str, bool], None],
    list_views: Callable[[], None],
    describe: Callable[[str], None],
) -> None:
    r"""Read and run statements until Ctrl-D or `\q`; a mistake is told and the prompt goes on.

    Args:
        console: where mistakes and help go.
        history: file of earlier lines; made if absent, readable by its owner alone.
        names: views and columns to complete.
        run: runs a statement; True turns its rows on their side.
        list_views: what `\l` does.
        describe: what `\d VIEW` does.
    """
    statements = Statements()
    vertical = False
    console.print(HELP, style="dim")
    with _line_editing(history, names):
        for line in _lines(console, statements):
            command, _, argument = line.strip().partition(" ")
            try:
                if command == r"\x":
                    vertical = not vertical
                elif command == r"\l":
                    list_views()
                elif command == r"\d":
                    describe(argument.strip().rstrip(";"))
                elif command.startswith("\\"):
                    console.print(HELP, style="dim")
                elif text := statements.add(line):
                    run(text, vertical)
            except TrueupError as error:
                told = (("error", error.what), ("where", error.where), ("to do", error.remedy))
                console.print("\n".join(f"{name}: {words}" for name, words in told if words), markup=False)
            except KeyboardInterrupt:
                console.print("stopped", style="dim")


def _lines(console: Console, statements: Statements) -> Iterator[str]:
    while True:
        try:
            line = input("     … " if statements.is_open else "trueup> ")
        except KeyboardInterrupt:
            console.print()
            statements.drop()
            continue
        except EOFError:
            console.print()
            return
        if not statements.is_open and line.strip().rstrip(";") in (r"\q", "exit", "quit"):
            return
        yield line


@contextmanager
def _line_editing(history: Path, names: Sequence[str]) -> Iterator[None]:
    """History and completion of names while the block runs."""
    words = sorted({*names, *_WORDS})

    def complete(text: str, state: int) -> str | None:
        found = [word for word in words if word.lower().startswith(text.lower())] if text else []
        return found[state] if state < len(found) else None

    history.touch(mode=0o600)
    readline.read_history_file(history)
    readline.set_history_length(HISTORY_LINES_MAX)
    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,()=<>+-*/.")
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.write_history_file(history)
        readline.set_completer(None)
