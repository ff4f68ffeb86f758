"""Compiles named formulas once, into one function, and evaluates it exactly.

No time limit can be exceeded: a compiled formula is straight code without loops (a table of `bands` is walked row by
row), so its time is bounded by its size, which `parse` and `read_program` bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import getcontext, setcontext

from reconcile.formula.explain import Explanation, explain
from reconcile.formula.generate import Function, function_of
from reconcile.formula.kinds import Kind, Value
from reconcile.formula.program import ARITHMETIC, Program, read_program


@dataclass(frozen=True, slots=True)
class CompiledFormula:
    """A program and the function that computes it."""

    program: Program
    _function: Function = field(repr=False)
    _first: int
    """Where the first result stands among the program's formulas."""

    def evaluate(self, values: Mapping[str, object]) -> Value:
        """The value of the first result: Decimal, bool or str.

        Args:
            values: name → Decimal, int, bool or str, for at least the names in `program.inputs`.

        Errors: FormulaError that names the piece which has no value (division by zero, overflow, a quantity outside a
        table) or the value that is missing or of the wrong kind.
        """
        return self._computed(values)[self._first]

    def evaluate_all(self, values: Mapping[str, object]) -> dict[str, Value]:
        """The value of every formula that the results need, by name; see `evaluate`."""
        names = [formula.name for formula in self.program.formulas]
        return dict(zip(names, self._computed(values), strict=True))

    def _computed(self, values: Mapping[str, object]) -> tuple[Value, ...]:
        outer = getcontext()
        setcontext(ARITHMETIC)
        try:
            return self._function(values)
        except (ArithmeticError, KeyError):
            # The walk fails at the same piece, and tells which one it is.
            explain(self.program, values)
            raise
        finally:
            setcontext(outer)

    def explain(self, values: Mapping[str, object]) -> dict[str, Explanation]:
        """The steps that led to each result; see `reconcile.formula.explain`."""
        return explain(self.program, values)


def compile_formula(
    formulas: Mapping[str, str] | str,
    *,
    names: Mapping[str, Kind],
    where: str = "",
    results: Mapping[str, Kind | None] | None = None,
) -> CompiledFormula:
    """Compile a formula, or named formulas that use each other.

    Args:
        formulas: the text of one formula, or name → text.
        names: the names that are given from outside, with the kinds of their values.
        where: what the formulas belong to, for errors.
        results: the formulas that are asked for, with the kind that each must have (None: any); without it, the last one.

    Errors: FormulaError with the place of what is wrong.
    """
    named = {"result": formulas} if isinstance(formulas, str) else formulas
    asked = results if results is not None else dict.fromkeys(tuple(named)[-1:])
    program = read_program(named, names=names, where=where, results=asked)
    order = [formula.name for formula in program.formulas]
    return CompiledFormula(program, function_of(program), order.index(program.results[0]))
