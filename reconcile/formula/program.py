"""Named formulas that use each other, read, put in order and checked: what is compiled and what is explained."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, DivisionByZero, InvalidOperation, Overflow
from difflib import get_close_matches
from typing import Final

from reconcile.formula.errors import FormulaError, error_of
from reconcile.formula.functions import DEFAULT_FUNCTIONS
from reconcile.formula.kinds import Kind, kind_of
from reconcile.formula.parse import dotted_name, parse

ARITHMETIC: Final = Context(
    prec=50, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=37, traps=[InvalidOperation, DivisionByZero, Overflow]
)
"""How every operation of a formula is computed: correct to 50 digits, below 10³⁸, no signal passed over."""

FORMULAS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class NamedFormula:
    """One formula of a program: its text, its tree, the kind of its value."""

    name: str
    where: str
    text: str
    tree: ast.expr
    kind: Kind

    def error(self, node: ast.expr, what: str, remedy: str) -> FormulaError:
        """The error of a piece of this formula."""
        return error_of(what, node, where=self.where, text=self.text, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Program:
    """Formulas in the order in which they can be computed, with the names they need from outside.

    Args:
        inputs: names from outside that the formulas use, with their kinds.
        formulas: the formulas that the results need, each after the ones it uses.
        results: names of the formulas that are asked for; the first one is the value of the program.
    """

    inputs: dict[str, Kind]
    formulas: tuple[NamedFormula, ...]
    results: tuple[str, ...]


def read_program(
    formulas: Mapping[str, str], *, names: Mapping[str, Kind], where: str, results: Mapping[str, Kind | None]
) -> Program:
    """Read formulas that may use `names` and each other.

    Args:
        formulas: name → text.
        names: names from outside, such as factors, with the kinds of their values.
        where: what the formulas belong to, for errors.
        results: the formulas that are asked for, with the kind that each must have (None: any); others are read and
            checked, but computed only if these use them.

    Errors: FormulaError for a formula that cannot be read, an unknown name, a cycle, kinds that do not fit; the errors of
    further formulas are in its `others`.
    """
    if len(formulas) > FORMULAS_MAX:
        raise FormulaError(
            f"there are {len(formulas)} formulas, {FORMULAS_MAX} are allowed",
            where=where,
            remedy="divide them into rules",
        )
    read: dict[str, NamedFormula] = {}
    uses: dict[str, set[str]] = {}
    known = {*formulas, *names}
    errors = _Errors()
    for name, text in formulas.items():
        with errors.of(name):
            _check_name(name, where, is_taken=name in names)
            place = f"{where}, formula {name}" if where else f"formula {name}"
            formula = NamedFormula(name, place, text, parse(text, where=place), "number")
            uses[name] = set(_names_used(formula, known))
            read[name] = formula
    order: list[str] = []
    with errors.of(""):
        order = _in_order(uses, where)
    kinds = dict(names)
    for name in order:
        # What uses a formula that is wrong is not to blame.
        if uses[name] <= kinds.keys():
            with errors.of(name):
                kinds[name] = kind_of(read[name].tree, kinds, read[name].error)
                _check_kind(read[name], kinds[name], results.get(name))
    errors.raise_all()
    asked = tuple(results)
    needed = _reachable(asked, uses)
    return Program(
        inputs={name: kind for name, kind in names.items() if name in needed},
        formulas=tuple(
            NamedFormula(name, read[name].where, read[name].text, read[name].tree, kinds[name])
            for name in order
            if name in needed
        ),
        results=asked,
    )


class _Errors:
    """Errors of several formulas, collected so that all are told."""

    def __init__(self) -> None:
        self.found: list[FormulaError] = []

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Keep what goes wrong with this formula."""
        try:
            yield
        except FormulaError as error:
            error.formula = error.formula or name
            self.found.append(error)

    def raise_all(self) -> None:
        """Raise the first error, with the others in it, if there is any."""
        if self.found:
            first, *others = self.found
            first.others = tuple(others)
            raise first


def _check_name(name: str, where: str, *, is_taken: bool) -> None:
    """A formula's name is a plain name of its own."""
    remedy = "give the formula another name"
    try:
        fits = isinstance(parse(name, where=where), ast.Name) and name not in DEFAULT_FUNCTIONS
    except FormulaError:
        fits = False
    if not fits:
        raise FormulaError(f"{name!r} is no name for a formula", where=where, remedy=remedy)
    if is_taken:
        raise FormulaError(f"{name} is both a formula and a given name", where=where, remedy=remedy)


def _check_kind(formula: NamedFormula, found: Kind, wanted: Kind | None) -> None:
    if wanted is not None and found != wanted:
        raise formula.error(formula.tree, f"{formula.name} must be a {wanted}, this is a {found}", f"write a {wanted}")


def _names_used(formula: NamedFormula, known: Iterable[str]) -> Iterator[str]:
    """Every name in the formula; FormulaError for one that is not known."""
    nodes = [node for node in ast.walk(formula.tree) if isinstance(node, ast.expr)]
    parts = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    parts |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        name = dotted_name(node)
        if name is None or id(node) in parts:
            continue
        if name not in known:
            close = get_close_matches(name, sorted(known), n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known names: {', '.join(sorted(known)) or 'none'}"
            raise formula.error(node, f"the name {name} is not known", remedy)
        yield name


def _in_order(uses: Mapping[str, set[str]], where: str) -> list[str]:
    """Every formula after the ones it uses; FormulaError that tells the cycle where there is one."""
    order: list[str] = []
    done: set[str] = set()
    for start in uses:
        path: list[str] = []
        waiting = [(start, False)]
        while waiting:
            name, is_left = waiting.pop()
            if is_left:
                path.pop()
                done.add(name)
                order.append(name)
            elif name in path:
                circle = " → ".join([*path[path.index(name) :], name])
                error = FormulaError(
                    f"formulas use each other in a circle: {circle}", where=where, remedy="break the circle"
                )
                error.formula = name
                raise error
            elif name in uses and name not in done:
                path.append(name)
                waiting.append((name, True))
                waiting += [(used, False) for used in sorted(uses[name])]
    return order


def _reachable(results: Iterable[str], uses: Mapping[str, set[str]]) -> set[str]:
    """The results and every name that they need, directly or not."""
    found: set[str] = set()
    waiting = list(results)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += uses.get(name, ())
    return found
