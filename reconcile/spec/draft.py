"""The text of a group's judge while it is put together: what rules add, and what they need computed beforehand.

A judge is one function. It reads the live rows of each leg once, computes what several rules share once, and asks each
rule about each row with plain conditions, so that a row in order costs little more than the comparisons.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from reconcile.formula.errors import FormulaError
from reconcile.spec.declared import DeclaredGroup
from reconcile.spec.expressions import as_amount, as_condition, translate
from reconcile.spec.legs import Report
from reconcile.spec.model import Leg
from reconcile.spec.terms import Scope, Term
from trueup.model.toml_lines import Place

Lines = list[str]
INDENT = "    "


def indented(lines: Iterable[str]) -> Lines:
    """The lines one level deeper."""
    return [INDENT + line for line in lines]


def inside(conditions: Iterable[str], body: Lines) -> Lines:
    """The body under all conditions, which are asked in this order."""
    asked = list(dict.fromkeys(conditions))
    return [f"if {' and '.join(asked)}:", *indented(body)] if asked else body


class GroupDraft:
    """What the judge of one group consists of so far; `failed` are names whose errors were told before."""

    def __init__(
        self, declared: DeclaredGroup, legs: dict[str, Leg], report: Report, failed: Collection[str] = ()
    ) -> None:
        self.declared = declared
        self.failed = failed
        self.legs = legs
        self.report = report
        self.subsets = {subset.name: (number, subset) for number, subset in enumerate(declared.subsets)}
        self.setup: Lines = []
        self.before_rows: dict[str, Lines] = {name: [] for name in legs}
        self.rows: dict[str, Lines] = {name: [] for name in legs}
        self.whole: Lines = []
        self.history: Lines = []
        self.constants: dict[str, object] = {}
        self._known: dict[str, Term | None] = {}
        self._open: list[str] = []
        sets = {**legs, **{name: legs[one.leg] for name, (_number, one) in self.subsets.items() if one.leg in legs}}
        self.scope = Scope(legs, sets, declared.define, hoisted=self._hoisted)

    def expression(
        self, read: Callable[..., Term], text: str, scope: Scope, place: Place, *, what: str = ""
    ) -> Term | None:
        """The term of an expression; None where it is wrong, which is then reported at the place."""
        try:
            term = read(text, scope, where=what or str(place[-1]))
        except FormulaError as error:
            self.report(place, f"`{what or place[-1]}`: {error.what}", f"{error.remedy} (at {error.where})")
            return None
        for name in sorted(term.sets):
            self.require_set(name)
        return term

    def condition(self, text: str, scope: Scope, place: Place) -> Term | None:
        """The term of a condition."""
        return self.expression(as_condition, text, scope, place)

    def amount(self, text: str, scope: Scope, place: Place) -> Term | None:
        """The term of an amount in whole minor units."""
        return self.expression(as_amount, text, scope, place)

    def column(self, text: str, scope: Scope, place: Place) -> Term | None:
        """The term of a value of any kind."""
        return self.expression(translate, text, scope, place)

    def constant(self, value: object) -> str:
        """The name of a value that the judge uses as it is."""
        name = next((name for name, held in self.constants.items() if held is value), f"constant_{len(self.constants)}")
        self.constants[name] = value
        return name

    def require_set(self, name: str) -> None:
        """See to it that the rows of a leg or subset stand in `set_<name>`."""
        key = f"set_{name}"
        if key in self._known or key in self._open:
            return
        if name in self.legs:
            self._known[key] = None
            if self.legs[name].is_single:
                self.setup.append(f"set_{name} = [] if held_{name} is None else [held_{name}]")
            return
        number, subset = self.subsets[name]
        self._open.append(key)
        self.require_set(subset.leg)
        leg = self.legs[subset.leg]
        loop = f"one_{leg.name}"
        term = None
        if subset.where is not None:
            scope = self.scope.bound(leg.name, f"{loop}.row", leg)
            term = self.condition(subset.where, scope, ("subset", number, "where"))
            if term is not None and (term.may_fail or key in {f"set_{one}" for one in term.sets}):
                self.report(
                    ("subset", number, "where"), f"subset {name}: its condition multiplies or divides, or asks for the subset itself",
                    "compare columns and other subsets",
                )  # fmt: skip
        self._open.remove(key)
        self._known[key] = None
        chosen = f"[{loop} for {loop} in set_{leg.name} if {term.text}]" if term else f"set_{leg.name}"
        self.setup.append(f"set_{name} = {self.given(term.needs if term else (), chosen, '[]')}")
        if subset.distinct:
            columns = [self.column(f"{leg.name}.{one}", self.scope.bound(leg.name, f"{loop}.row", leg),
                                   ("subset", number, "distinct")) for one in subset.distinct]  # fmt: skip
            key_text = ", ".join(one.text for one in columns if one is not None)
            self.setup += [
                f"if len(set_{name}) > 1:",
                f"{INDENT}set_{name} = distinct(set_{name}, lambda {loop}: ({key_text},))",
            ]

    def _hoisted(self, name: str) -> Term | None:
        """The term of a defined name that does not depend on the row in hand, computed once; None if it does."""
        key = f"defined_{name}"
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return None
        self._open.append(key)
        try:
            term = translate(name, self.scope, where=f"define {name}")
        except FormulaError:
            # It names a row in hand, or is wrong, and whoever uses it says so.
            return None
        finally:
            self._open.remove(key)
        if term.may_fail:
            return None
        for needed in sorted(term.sets):
            self.require_set(needed)
        self.setup.append(f"{key} = {self.given(term.needs, term.text, 'None')}")
        self._known[key] = replace(term, text=key, sets=frozenset())
        return self._known[key]

    def existing(self, needs: Iterable[str], but: str = "") -> Lines:
        """Conditions under which these single legs have a row."""
        return [f"held_{name} is not None" for name in sorted(needs) if name != but]

    def given(self, needs: Iterable[str], text: str, otherwise: str) -> str:
        """A value where the rows that it needs exist, another one where they do not."""
        existing = self.existing(needs)
        return f"{text} if {' and '.join(existing)} else {otherwise}" if existing else text

    def require_index(self, name: str, columns: list[str]) -> str:
        """The name of a dict from the values of columns to the first row of a leg or subset that has them."""
        self.require_set(name)
        leg = self.scope.sets[name]
        key = f"index_{name}_by_{'_'.join(str(leg.table.place(column)) for column in columns)}"
        if key not in self._known:
            self._known[key] = None
            fields = ", ".join(f"one.row.{leg.field_of(column)}" for column in columns)
            text = fields if len(columns) == 1 else f"({fields})"
            # As in SQL, NULL is equal to nothing, another NULL included.
            nullable = {column.name for column in leg.table.columns if column.nullable}
            given = [f"one.row.{leg.field_of(column)} is not None" for column in columns if column in nullable]
            chosen = f" if {' and '.join(given)}" if given else ""
            self.setup.append(f"{key} = {{{text}: one for one in reversed(set_{name}){chosen}}}")
        return key

    def default_of(self, column: str, names: Iterable[str]) -> str:
        """The text of the group's shop or statement: that of the first row among `leg.column`, or of `key.column`."""
        text = "''"
        for name in reversed(list(names)):
            leg_name, _, column_name = name.partition(".")
            if leg_name == "key" and column_name in self.declared.key:
                text = f"key[{self.declared.key.index(column_name)}]"
                continue
            leg = self.legs.get(leg_name)
            if leg_name in self.failed:
                continue
            if leg is None or column_name not in leg.topic_columns:
                self.report(
                    (column,), f"`{column}`: there is no column {name}", "write `leg.column` with the name of a leg"
                )
                continue
            field = leg.field_of(column_name)
            if leg.is_single:
                text = f"row_{leg_name}.{field} if row_{leg_name} is not None else {text}"
            else:
                self.require_set(leg_name)
                text = f"set_{leg_name}[0].row.{field} if set_{leg_name} else {text}"
        return f"({text})"

    def template(self, text: str, scope: Scope, place: Place) -> Term | None:
        """The term of a detail: its text with expressions in braces filled in."""
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            self.report(place, f"the text cannot be read: {error}", "write {{ and }} for braces themselves")
            return None
        parts: list[Term] = []
        pattern = ""
        for literal, name, spec, conversion in pieces:
            pattern += literal.replace("{", "{{").replace("}", "}}")
            if name is None:
                continue
            term = self.column(name, scope, place) if not spec and not conversion else None
            if term is None:
                if spec or conversion:
                    self.report(place, f"`{{{name}}}` has a format", "write the name alone in braces")
                return None
            pattern += "{}"
            currency = term.currencies[0] if term.currencies else "''"
            parts.append(replace(term, text=f"told_amount({term.text}, {currency})") if term.kind == "money" else term)
        made = f"{pattern!r}.format({', '.join(part.text for part in parts)})" if parts else repr(pattern.format())
        return Term(
            made, "text", needs=frozenset().union(*(part.needs for part in parts)),
            sets=frozenset().union(*(part.sets for part in parts)), may_fail=any(part.may_fail for part in parts),
        )  # fmt: skip
