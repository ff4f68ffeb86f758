"""What is wrong with a formula, and where in it."""

from __future__ import annotations

import ast

from trueup.model.errors import ConfigurationError

QUOTED_CHARS_MAX = 40


class FormulaError(ConfigurationError):
    """A formula cannot be read, compiled or evaluated.

    Args:
        what: one sentence that names the fault.
        where: the formula's own name or file, with line, column and the offending piece.
        remedy: what to write instead.
        line, column: the place in the formula, counted from 1; 0 where no single place is at fault.

    `formula` is the name of the formula among several, `others` are the further errors that were found with this one.
    """

    def __init__(self, what: str, *, where: str, remedy: str, line: int = 0, column: int = 0) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.line = line
        self.column = column
        self.formula = ""
        self.others: tuple[FormulaError, ...] = ()


def error_at(what: str, *, where: str, text: str, span: tuple[int, int], remedy: str) -> FormulaError:
    """The error of the piece `text[span[0]:span[1]]`."""
    start = min(span[0], len(text))
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    piece = " ".join(text[start : span[1]].split())
    quoted = f": `{shortened(piece)}`" if piece else ""
    place = f"line {line}, column {column}{quoted}"
    return FormulaError(
        what, where=f"{where}, {place}" if where else place, remedy=remedy, line=line, column=column
    )  # fmt: skip


def error_of(what: str, node: ast.expr, *, where: str, text: str, remedy: str) -> FormulaError:
    """The error of a node that `parse` returned for `text`."""
    return error_at(what, where=where, text=text, span=(node.col_offset, node.end_col_offset or 0), remedy=remedy)


def shortened(piece: str) -> str:
    """A piece of a formula, short enough for a line of an error message."""
    return piece if len(piece) <= QUOTED_CHARS_MAX else piece[: QUOTED_CHARS_MAX - 1] + "…"
