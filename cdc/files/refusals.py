"""Why a file, or the mapping of its kind, is refused. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from trueup.model.errors import ConfigurationError, TrueupError

PROBLEMS_LISTED_MAX: Final = 100


class Problem(NamedTuple):
    """One fault: the line from 1 (0 for the file as a whole), what it is, and what to do ("" where that is plain)."""

    line: int
    what: str
    remedy: str = ""


class Problems:
    """Collects problems: all are counted, the first ones are kept."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.count = 0

    def add(self, line: int, what: str, remedy: str = "") -> None:
        """One more problem."""
        self.count += 1
        if len(self.kept) < PROBLEMS_LISTED_MAX:
            self.kept.append(Problem(line, what, remedy))


class MappingRefused(ConfigurationError):
    """A mapping cannot be used; `problems` are all of its faults, in the order of their lines."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        first = self.problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(first.what + more, where=f"{file}, line {first.line}", remedy=first.remedy)


class FileRefused(TrueupError):
    """A file is refused whole: not one of its rows counts. `problems` are the first ones, `count` is how many there are."""

    def __init__(self, file: str, problems: Problems, remedy: str = "ask the channel for a right file") -> None:
        self.problems = problems.kept
        self.count = problems.count
        first = self.problems[0]
        more = f", and {self.count - 1} more" if self.count > 1 else ""
        place = f", line {first.line}" if first.line else ""
        super().__init__(first.what + more, where=file + place, remedy=first.remedy or remedy)
