"""Rows that came with values left out because they did not change: completed from the row's former version. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trueup.model.change import Change, Incomplete
from trueup.model.errors import InvalidRecord


class Former(NamedTuple):
    """A version of the row that is known; `row` is None where it ended."""

    version: int
    row: tuple[object, ...] | None


def completed(incomplete: Incomplete, known: Iterable[Former]) -> Change | None:
    """The change with its open places filled from the newest known version; None where that is as new as the change.

    Keys keep their order, so the newest known version is the one before, unless that one was refused: then the value is
    that of an earlier version.

    Errors: InvalidRecord incomplete-row where no former version is known.
    """
    change = incomplete.change
    newest = max(known, key=lambda former: former.version, default=None)
    if newest is not None and newest.version >= change.version:
        return None
    if newest is None or newest.row is None or change.row is None:
        raise refusal(incomplete)
    row = list(change.row)
    for place in incomplete.holes:
        row[place] = newest.row[place]
    return change._replace(row=tuple(row))


def refusal(incomplete: Incomplete) -> InvalidRecord:
    """Why a change that stays incomplete is refused."""
    table = incomplete.change.table
    names = ", ".join(f"{table.name}.{table.columns[place].name}" for place in incomplete.holes)
    return InvalidRecord(
        "incomplete-row",
        f"{names} was left out because it did not change, and no former version of the row has it: "
        "set REPLICA IDENTITY FULL on the table",
    )
