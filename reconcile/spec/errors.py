"""What is wrong with a spec: every problem with its line and what to do, told at once."""

from __future__ import annotations

from typing import NamedTuple

from trueup.model.errors import ConfigurationError


class Problem(NamedTuple):
    """One fault of a spec: what, the file, the line counted from 1, and the remedy."""

    what: str
    file: str
    line: int
    remedy: str


class SpecError(ConfigurationError):
    """A spec cannot be used; `problems` are all of its faults, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.file, problem.line))
        first = self.problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(
            first.what + more,
            where=f"{first.file}, line {first.line}",
            remedy=first.remedy + (f"; `trueup check --spec {first.file}` prints every error" if more else ""),
        )
