"""Reads a spec from its file: `load_spec` gives the compiled spec, or every error in it at once."""

from __future__ import annotations

import difflib
import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from reconcile.spec.compile import compile_group
from reconcile.spec.declared import DeclaredSpec
from reconcile.spec.errors import Problem, SpecError
from reconcile.spec.model import Spec, SpecGroup
from reconcile.spec.rest import Rest
from trueup.model.toml_lines import NoToml, Place, line_of, lines_of, parse_toml

_SCENARIO: Final = re.compile(r"^\[\[scenario\]\]", re.MULTILINE)
_SHIPPED: Final = "reconcile.specs"


def shipped_specs() -> list[str]:
    """Names of the specs of rules that come with trueup; charging specs, which lie beside them, are not among them."""
    found = {
        entry.name.removesuffix(".toml"): entry for entry in files(_SHIPPED).iterdir() if entry.name.endswith(".toml")
    }
    return sorted(name for name, entry in found.items() if not is_charging(entry.read_text(encoding="utf-8")))


def is_charging(text: str) -> bool:
    """Whether the text is a charging spec: those have scenarios where rules have groups."""
    return _SCENARIO.search(text) is not None


def load_spec(spec: str | Path) -> Spec:
    """The spec of this name or path, compiled.

    Args:
        spec: the name of a shipped spec, such as `settlement`, or the path of a file.

    Errors: SpecError with every problem of the file.
    """
    name, text = _read(spec)
    return read_spec(text, file=name)


def read_spec(text: str, *, file: str) -> Spec:
    """The spec of a text; `file` is what errors call it. Errors: SpecError with every problem."""
    reading = _Reading(text, file)
    declared = reading.declared()
    groups = reading.groups(declared) if declared is not None else []
    if declared is None or reading.problems:
        raise SpecError(reading.problems)
    return Spec(declared.name, declared.version, declared.description, tuple(groups))


def _read(spec: str | Path) -> tuple[str, str]:
    name = str(spec)
    if name in shipped_specs():
        entry = files(_SHIPPED).joinpath(f"{name}.toml")
        return f"{name}.toml", entry.read_text(encoding="utf-8")
    try:
        return name, Path(spec).read_text(encoding="utf-8")
    except FileNotFoundError:
        what, remedy = "the file does not exist", f"give a path, or a shipped spec: {', '.join(shipped_specs())}"
    except (OSError, UnicodeDecodeError) as error:
        what, remedy = f"the file cannot be read: {error}", "give a readable file of UTF-8 text"
    raise SpecError([Problem(what, name, 1, remedy)])


class _Reading:
    """One reading of one file; problems are collected, so that all are told."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = lines_of(text)
        self.problems: list[Problem] = []
        self.rest = Rest({})

    def report(self, place: Place, what: str, remedy: str) -> None:
        """One more problem, told once."""
        problem = Problem(what, self.file, line_of(self.lines, place), remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def declared(self) -> DeclaredSpec | None:
        """What the file declares; of a file of the wrong shape, the parts that are right, so that they are checked too."""
        try:
            document = parse_toml(self.text)
        except NoToml as error:
            raise SpecError([Problem(error.what, self.file, error.line, error.remedy)]) from None
        try:
            return DeclaredSpec.model_validate(document)
        except ValidationError as error:
            faults = error.errors()
        for fault in faults:
            self.report_fault(document, fault)
        self.rest = Rest(document)
        self.rest.take_out([(_place_in(document, fault["loc"]), fault["type"]) for fault in faults])
        try:
            return DeclaredSpec.model_validate(self.rest.document)
        except ValidationError:
            return None

    def report_fault(self, document: dict[str, Any], fault: Any) -> None:
        """One fault of the shape, in words."""
        place = _place_in(document, fault["loc"])
        key = str(fault["loc"][-1])
        kind = fault["type"]
        numbered = [(part, after) for part, after in pairwise(place) if isinstance(after, int)]
        within = " of ".join(f"{part} {number + 1}" for part, number in reversed(numbered))
        subject = within or "the spec"
        if kind == "missing":
            self.report(
                place[:-1], f"{subject}: `{key}` is missing", f"add `{key} = …`; docs/specs.md tells what it means"
            )
        elif kind == "extra_forbidden":
            close = difflib.get_close_matches(key, _KEYS, n=1)
            remedy = f"did you mean `{close[0]}`?" if close else "take it out; docs/specs.md lists the keys"
            self.report(place, f"{subject}: there is no key `{key}` here", remedy)
        elif kind == "union_tag_invalid":
            self.report(
                (*place, "kind"),
                f"{subject}: there is no such kind of rule",
                f"use one of {fault['ctx']['expected_tags']}",
            )
        else:
            self.report(place, f"{subject}: `{key}`: {fault['msg'].removeprefix('Value error, ')}", "see docs/specs.md")

    def groups(self, declared: DeclaredSpec) -> list[SpecGroup]:
        """The compiled groups; those with problems are left out."""
        groups = []
        names: set[str] = set()
        classes: dict[str, str] = {}
        for number, group in enumerate(declared.groups):
            for at, rule in enumerate(group.rules):
                if classes.setdefault(rule.name, rule.class_) != rule.class_:
                    place = self.rest.place_of(("group", number, "rule", at, "class"))
                    self.report(place, f"rule {rule.name} has two classes", f"write {classes[rule.name]!r} here too")
            if group.name in names:
                self.report(
                    self.rest.place_of(("group", number, "name")), f"two groups are called {group.name}", "rename one"
                )
            names.add(group.name)

            def report(place: Place, what: str, remedy: str, number: int = number) -> None:
                self.report(self.rest.place_of(("group", number, *place)), what, remedy)

            compiled = compile_group(declared, group, report, self.rest.broken_names(number))
            if compiled is not None:
                groups.append(compiled)
        return groups


_KEYS: Final = (
    "name", "version", "description", "group", "key", "leg", "subset", "define", "rule", "table", "match", "primary_key",
    "columns", "rows", "amount", "currency", "status", "business_time", "parent", "shop", "statement", "where", "distinct",
    "detail", "class", "when", "unless", "due", "grace", "in", "on", "direction", "cardinality", "expected", "actual",
    "with", "tolerance", "mixed", "excused_by", "by", "column", "then", "fields", "while", "after", "steps", "limits", "kind",
    "charging", "factors", "detail_edited",
)  # fmt: skip


def _place_in(document: dict[str, Any], loc: tuple[str | int, ...]) -> Place:
    """The place in the file; the parts that pydantic adds for the choice of a rule's kind are left out."""
    place: Place = ()
    value: Any = document
    for number, part in enumerate(loc):
        is_last = number == len(loc) - 1
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            value = value[part]
        elif isinstance(part, str) and isinstance(value, dict) and (part in value or is_last):
            value = value.get(part)
        else:
            continue
        place = (*place, part)
    return place
