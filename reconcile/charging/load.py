"""Reads a charging spec from its file: `load_charging` gives it compiled, or every error in it at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from reconcile.charging.declared import DeclaredCharging, DeclaredFactor, DeclaredFee, DeclaredRule, DeclaredScenario
from reconcile.charging.factors import value_of
from reconcile.charging.model import Charging, Factor, FeeTerms, Rule, Scenario
from reconcile.formula.compile import CompiledFormula, compile_formula
from reconcile.formula.errors import FormulaError
from reconcile.formula.kinds import Kind
from reconcile.spec.errors import Problem, SpecError
from trueup.model.toml_lines import NoToml, Place, line_of, lines_of, parse_toml, shape_fault

_MULTI_LINE: Final = re.compile(r"=\s*(\"\"\"|''')\s*$")
_SHIPPED: Final = "reconcile.specs"
_CONDITION: Final = "when"
_REMEDY: Final = "docs/formulas.md shows a whole spec"


def load_charging(spec: str | Path) -> Charging:
    """The charging spec of this name or path, compiled.

    Args:
        spec: the name of a shipped spec, such as `carrier`, or the path of a file.

    Errors: SpecError with every problem of the file.
    """
    name = str(spec)
    shipped = files(_SHIPPED).joinpath(f"{name}.toml")
    try:
        if re.fullmatch(r"[a-z][a-z0-9-]*", name) and shipped.is_file():
            return read_charging(shipped.read_text(encoding="utf-8"), file=f"{name}.toml")
        return read_charging(Path(spec).read_text(encoding="utf-8"), file=name)
    except FileNotFoundError:
        problem = Problem("the file does not exist", name, 1, "give the path of a charging spec, or `carrier`")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(f"the file cannot be read: {error}", name, 1, "give a readable file of UTF-8 text")
    raise SpecError([problem])


def read_charging(text: str, *, file: str) -> Charging:
    """The charging spec of a text; `file` is what errors call it. Errors: SpecError with every problem."""
    reading = _Reading(text, file)
    charging = reading.charging(reading.declared())
    if reading.problems:
        raise SpecError(reading.problems)
    return charging


class _Reading:
    """One reading of one file; problems are collected, so that all are told."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = lines_of(text)
        self.problems: list[Problem] = []
        self.kinds: dict[str, Kind] = {}

    def report(self, place: Place, what: str, remedy: str, *, line_within: int = 0) -> None:
        """One more problem; a formula that several rules share is reported once."""
        line = line_of(self.lines, place)
        if line_within and _MULTI_LINE.search(self.text.splitlines()[line - 1]):
            line += line_within
        problem = Problem(what, self.file, line, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def declared(self) -> DeclaredCharging:
        """What the file declares, of the right shape; SpecError if it is not."""
        try:
            document = parse_toml(self.text, parse_float=Decimal)
        except NoToml as error:
            raise SpecError([Problem(error.what, self.file, error.line, error.remedy)]) from None
        try:
            return DeclaredCharging.model_validate(document)
        except ValidationError as error:
            for fault in error.errors():
                self.report(*shape_fault(document, fault, _REMEDY))
            raise SpecError(self.problems) from None

    def charging(self, declared: DeclaredCharging) -> Charging:
        """The compiled spec; parts with problems are left out."""
        factors = {name: self._factor(name, factor) for name, factor in declared.factors.items()}
        self.kinds = {name: factor.kind for name, factor in factors.items()}
        scenarios = [
            self._scenario(scenario, ("scenario", number)) for number, scenario in enumerate(declared.scenarios)
        ]
        self._name_once("scenario", [scenario.name for scenario in declared.scenarios], ("scenario",))
        parties = {fee.party for scenario in declared.scenarios for rule in scenario.rules for fee in rule.fees}
        if declared.seller not in parties:
            self.report(
                ("seller",),
                f"no fee is for the seller, {declared.seller!r}",
                f"use one of {', '.join(sorted(parties))}",
            )
        return Charging(
            declared.name, declared.version, declared.description, declared.seller, factors, tuple(scenarios)
        )  # fmt: skip

    def _factor(self, name: str, declared: Kind | DeclaredFactor) -> Factor:
        if isinstance(declared, str):
            return Factor(declared, None)
        if declared.default is None:
            return Factor(declared.kind, None)
        try:
            return Factor(declared.kind, value_of(name, Factor(declared.kind, None), declared.default))
        except FormulaError as error:
            self.report(("factors", name, "default"), error.what, error.remedy)
            return Factor(declared.kind, None)

    def _scenario(self, declared: DeclaredScenario, place: Place) -> Scenario:
        when = self._condition(declared.when, {}, {}, place)
        rules = []
        for number, rule in enumerate(declared.rules):
            compiled = self._rule(rule, declared.formulas, (*place, "rule", number), place)
            if compiled is not None:
                rules.append(compiled)
        self._name_once("rule", [rule.name for rule in declared.rules], (*place, "rule"))
        rules.sort(key=lambda rule: rule.priority)
        return Scenario(declared.name, when, declared.match, tuple(rules))

    def _rule(self, declared: DeclaredRule, shared: Mapping[str, str], place: Place, around: Place) -> Rule | None:
        formulas: dict[str, str] = {}
        places: dict[str, Place] = {}
        for name, text, where in (
            *((name, text, (*around, "formulas", name)) for name, text in shared.items()),
            *((name, text, (*place, "formulas", name)) for name, text in declared.formulas.items()),
            *((fee.name, fee.formula, (*place, "fee", at, "formula")) for at, fee in enumerate(declared.fees)),
        ):
            if name in formulas:
                self.report(where, f"{name} is defined twice for the rule {declared.name}", "rename one of them")
            formulas[name], places[name] = text, where
        when = self._condition(declared.when, formulas, places, place)
        compiled = self._compiled(formulas, places, {fee.name: "number" for fee in declared.fees})
        if compiled is None or (when is None and declared.when is not None):
            return None
        return Rule(declared.name, declared.priority, when, compiled, tuple(_terms(fee) for fee in declared.fees))

    def _condition(
        self, text: str | None, formulas: Mapping[str, str], places: Mapping[str, Place], place: Place
    ) -> CompiledFormula | None:
        """The compiled condition; None where there is none, or a problem."""
        if text is None:
            return None
        if _CONDITION in formulas:
            self.report(places[_CONDITION], f"{_CONDITION} is no name for a formula", "rename it")
            return None
        where = (*place, _CONDITION)
        return self._compiled({**formulas, _CONDITION: text}, {**places, _CONDITION: where}, {_CONDITION: "flag"})

    def _compiled(
        self, formulas: Mapping[str, str], places: Mapping[str, Place], results: Mapping[str, Kind | None]
    ) -> CompiledFormula | None:
        try:
            return compile_formula(formulas, names=self.kinds, where=self.file, results=results)
        except FormulaError as error:
            for each in (error, *error.others):
                within = each.where.removeprefix(self.file).removeprefix(", ")
                what = f"{each.what} ({within})" if within else each.what
                self.report(places.get(each.formula, ("scenario",)), what, each.remedy, line_within=each.line)
            return None

    def _name_once(self, what: str, names: Iterable[str], place: Place) -> None:
        seen: set[str] = set()
        for number, name in enumerate(names):
            if name in seen:
                self.report((*place, number, "name"), f"two {what}s are called {name}", "rename one of them")
            seen.add(name)


def _terms(fee: DeclaredFee) -> FeeTerms:
    return FeeTerms(fee.name, fee.party, fee.type, fee.direction, fee.currency, fee.rounding)
