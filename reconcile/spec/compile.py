"""Compiles a declared group: its rules become one Python function, written out as text and compiled once at start."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import orjson
from pydantic import BaseModel

from reconcile.finding import Finding
from reconcile.spec import runtime
from reconcile.spec.declared import (
    DeclaredGroup,
    DeclaredRule,
    DeclaredSpec,
    FormulaRule,
    MachineRule,
    PresenceRule,
    SumRule,
    UnchangedRule,
    UniqueRule,
)
from reconcile.spec.draft import GroupDraft, Lines, indented
from reconcile.spec.kinds import charges, history, rows, totals
from reconcile.spec.kinds.common import RuleDraft
from reconcile.spec.legs import DEFAULT_SPEC, Report, build_leg
from reconcile.spec.model import Compiled, HeldAgainst, Leg, RuleEntry, SpecGroup, Steps
from reconcile.spec.terms import Scope
from trueup.model.toml_lines import Place

Kind = Callable[[RuleDraft, Any], None]
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]*")
_KINDS: Final[dict[str, Kind]] = {
    "presence": rows.presence,
    "sum": rows.sum_,
    "unique": rows.unique,
    "agree": rows.agree,
    "implies": rows.implies,
    "stuck": rows.stuck,
    "unchanged": history.unchanged,
    "machine": history.machine,
    "one-source": history.one_source,
    "formula": charges.formula,
    **dict.fromkeys(totals.KINDS, totals.about_totals),
}
_BUILTINS: Final[dict[str, object]] = {
    "__builtins__": {}, "abs": abs, "any": any, "bool": bool, "len": len, "max": max, "min": min, "reversed": reversed,
    "set": set, "str": str, "sum": sum, "Decimal": Decimal, "Finding": Finding, "ArithmeticError": ArithmeticError,
    **runtime.NAMES,
}  # fmt: skip


def compile_group(
    spec: DeclaredSpec, declared: DeclaredGroup, report: Report, broken: Iterable[str] = ()
) -> SpecGroup | None:
    """The group, ready to judge; None where something is wrong with it, which is then reported.

    `broken` are names of legs and the like that were reported before: what mentions them is not judged for it.
    """
    problems: list[Place] = []

    def counting(place: Place, what: str, remedy: str) -> None:
        problems.append(place)
        report(place, what, remedy)

    legs: dict[str, Leg] = {}
    for number, leg_declared in enumerate(declared.legs):
        leg = build_leg(spec.name, declared, number, counting)
        if leg_declared.name in legs:
            counting(("leg", number, "name"), f"two legs are called {leg_declared.name}", "rename one")
        if leg is not None:
            legs[leg.name] = replace(leg, steps=_steps(declared, leg.name))
    failed = {*broken, *(leg.name for leg in declared.legs if leg.name not in legs)}
    _check_names(declared, legs, failed, counting)
    _check_parents(spec, declared, counting)
    _check_amounts(declared, legs, counting)
    declared = declared.model_copy(update={"rules": [*declared.rules, *_implied(declared, legs)]})
    draft = GroupDraft(declared, legs, counting, failed)
    _add_rules(spec, draft)
    if problems or failed:
        return None
    compiled = _compiled(spec, draft)
    if problems:
        return None
    entries = tuple(RuleEntry(rule.name, rule.kind, rule.class_, rule.leg) for rule in declared.rules)
    return SpecGroup(
        (spec.name, spec.version), declared.name, tuple(declared.key), tuple(legs.values()), entries, compiled
    )


def _steps(declared: DeclaredGroup, leg: str) -> Steps | None:
    machine = next((rule for rule in declared.rules if isinstance(rule, MachineRule) and rule.leg == leg), None)
    return None if machine is None else history.steps_of(machine)


def _mention(part: BaseModel, names: Collection[str]) -> bool:
    """Whether a rule or subset mentions one of the names anywhere."""
    return not set(_WORD.findall(repr(part.model_dump(exclude={"name"})))).isdisjoint(names)


def _check_names(declared: DeclaredGroup, legs: dict[str, Leg], failed: set[str], report: Report) -> None:
    """Names are there and taken once; `failed` grows by the subsets that cannot be read."""
    taken = {leg.name for leg in declared.legs}
    for number, subset in enumerate(declared.subsets):
        if _mention(subset, failed):
            failed.add(subset.name)
        elif subset.leg not in legs:
            failed.add(subset.name)
            report(("subset", number, "leg"), f"there is no leg {subset.leg}", f"the legs are {', '.join(legs)}")
        if subset.name in taken:
            report(("subset", number, "name"), f"the name {subset.name} is taken", "rename the subset")
        taken.add(subset.name)
    seen: set[tuple[str, str]] = set()
    for number, rule in enumerate(declared.rules):
        if (rule.name, rule.leg) in seen:
            report(
                ("rule", number, "name"), f"two rules about {rule.leg or 'the group'} are called {rule.name}",
                "rename one: a finding is known by its rule and entity",
            )  # fmt: skip
        seen.add((rule.name, rule.leg))
        if rule.leg and rule.leg not in {leg.name for leg in declared.legs} | failed:
            report(
                ("rule", number, "leg"),
                f"rule {rule.name}: there is no leg {rule.leg}",
                f"the legs are {', '.join(legs)}",
            )


def _check_amounts(declared: DeclaredGroup, legs: dict[str, Leg], report: Report) -> None:
    """A leg's amount is one of its own columns' alone, so that every row has one whatever else there is."""
    for number, leg in enumerate(legs.values()):
        if leg.amount:
            own = GroupDraft(declared, {leg.name: leg}, report)
            scope = Scope({leg.name: leg}, {}, {}).bound(leg.name, "row", leg)
            own.amount(leg.amount, scope, ("leg", number, "amount"))


def _check_parents(spec: DeclaredSpec, declared: DeclaredGroup, report: Report) -> None:
    groups = {group.name: group for group in spec.groups}
    for number, leg in enumerate(declared.legs):
        if not leg.parent:
            continue
        group = groups.get(leg.parent.get("group", ""))
        columns = leg.parent.keys() - {"group"}
        if group is None or columns != set(group.key):
            wanted = f'write `parent = {{ group = "…", {", ".join(f"{key} = …" for key in (group or declared).key)} }}`'
            report(
                ("leg", number, "parent"), f"leg {leg.name}: the parent's group or key is not one of this file", wanted
            )


def _implied(declared: DeclaredGroup, legs: dict[str, Leg]) -> Iterator[DeclaredRule]:
    """A `unique` rule for each side of a cardinality that says 1 and is not held by another rule."""
    held = {(rule.leg, tuple(sorted(rule.by))) for rule in declared.rules if isinstance(rule, UniqueRule)}
    for rule in declared.rules:
        if not isinstance(rule, PresenceRule | SumRule) or rule.cardinality is None:
            continue
        other = rule.in_ if isinstance(rule, PresenceRule) else rule.with_
        pairs = [entry.partition("=") for entry in rule.on or []]
        sides = (
            (rule.leg, [ours.strip() for ours, _, _ in pairs]),
            (other, [(theirs or ours).strip() for ours, _, theirs in pairs]),
        )
        for side, (leg, by) in zip(rule.cardinality.split(":"), sides, strict=True):
            key = (leg, tuple(sorted(by)))
            if side != "1" or leg not in legs or legs[leg].is_single or key in held:
                continue
            if not legs[leg].has_primary_key_in(by):
                held.add(key)
                yield UniqueRule.model_validate(
                    {
                        "name": f"duplicate-{leg.replace('_', '-')}", "kind": "unique", "class": "mismatch", "leg": leg,
                        "by": by or list(legs[leg].match), "detail": f"rule {rule.name} allows one row of {leg} here",
                    }
                )  # fmt: skip


def _add_rules(spec: DeclaredSpec, draft: GroupDraft) -> None:
    # Whether a row repeats another one is known before rules that leave such rows alone are asked.
    numbered = sorted(enumerate(draft.declared.rules), key=lambda numbered: numbered[1].kind != "unique")
    entity_kind = draft.declared.name if spec.name == DEFAULT_SPEC else f"{spec.name}.{draft.declared.name}"
    for number, rule in numbered:
        if _mention(rule, draft.failed) or (rule.leg and rule.leg not in draft.legs):
            continue
        _KINDS[rule.kind](RuleDraft(draft, number, rule, entity_kind), rule)


def _compiled(spec: DeclaredSpec, draft: GroupDraft) -> Compiled:
    text = "\n".join(_judge_text(draft)) + "\n"
    held_against, held_text = _held_against(draft)
    text += held_text
    names: dict[str, Any] = {**_BUILTINS, **draft.constants, "key_text": key_text}
    # Every name and operator in the text comes from this package: the spec's own texts are parsed by the formula language's
    # whitelist, or stand in it as quoted constants.
    exec(compile(text, f"<{spec.name}.{draft.declared.name}>", "exec"), names)  # noqa: S102
    checks: dict[str, HeldAgainst] = {leg: names[function] for leg, function in held_against.items()}
    return Compiled(names["judge"], checks, text)


def key_text(key: tuple[object, ...]) -> str:
    """A composite match key as the id of an entity."""
    return orjson.dumps(key).decode()


def _judge_text(draft: GroupDraft) -> Lines:
    names = ", ".join(f"registers_{name}" for name in draft.legs)
    with_totals = any(rule.kind in totals.KINDS for rule in draft.declared.rules)
    body = ["found = []", "grace_us, limits_us, charging = tolerances"]
    for name, leg in draft.legs.items():
        if leg.is_single:
            body += [
                f"held_{name} = first_live(registers_{name})",
                f"row_{name} = None if held_{name} is None else held_{name}.row",
            ]
        else:
            body.append(f"set_{name} = live(registers_{name})")
    body += draft.setup
    for name, leg in draft.legs.items():
        if not draft.rows[name]:
            continue
        body += draft.before_rows[name]
        if leg.is_single:
            body += [f"if held_{name} is not None:", *indented(draft.rows[name])]
        else:
            body += [f"for held_{name} in set_{name}:", *indented([f"row_{name} = held_{name}.row", *draft.rows[name]])]
    body += draft.whole
    if draft.history:
        body += ["if marks:", *indented(draft.history)]
    arguments = f"key, {names}, marks, newest_us, tolerances{', view' if with_totals else ''}"
    return [f"def judge({arguments}):", *indented([*body, "return found"])]


def _held_against(draft: GroupDraft) -> tuple[dict[str, str], str]:
    """(leg → name of its check, text of the checks): which changes of a row leave a mark."""
    checks: dict[str, str] = {}
    text = ""
    for name, leg in draft.legs.items():
        tests: Lines = []
        for number, rule in enumerate(draft.declared.rules):
            if rule.leg != name:
                continue
            if isinstance(rule, MachineRule):
                steps = draft.constant(history.steps_of(rule))
                tests.append(f"column == {leg.status!r} and (old, new) not in {steps}")
            elif isinstance(rule, FormulaRule) and rule.excused_by is not None:
                tests.append(f"column == {rule.factors!r}")
            elif isinstance(rule, UnchangedRule):
                fields = "{" + ", ".join(repr(field) for field in rule.fields_) + "}"
                test = f"column in {fields}"
                if rule.while_ is not None:
                    scope = draft.scope.bound(name, "row", leg)
                    term = draft.condition(rule.while_, scope, ("rule", number, "while"))
                    if term is not None and (term.needs or term.sets or term.may_fail):
                        draft.report(
                            ("rule", number, "while"), f"rule {rule.name}: `while` may name columns of {name} only",
                            "compare its own columns",
                        )  # fmt: skip
                    test += f" and {term.text}" if term else ""
                tests.append(test)
        if tests:
            checks[name] = f"held_against_{name}"
            row = draft.constant(leg.row_type)
            text += "\n".join(
                [
                    "", f"def held_against_{name}(column, old, new, before):", f"    row = {row}._make(before)",
                    f"    return {' or '.join(f'({test})' for test in tests)}", "",
                ]
            )  # fmt: skip
    return checks, text
