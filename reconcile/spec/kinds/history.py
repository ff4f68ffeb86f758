"""Rules about what happened to rows: unchanged, machine, one-source."""

from __future__ import annotations

from reconcile.spec.declared import MachineRule, OneSourceRule, UnchangedRule
from reconcile.spec.draft import indented, inside
from reconcile.spec.kinds.common import RuleDraft
from reconcile.spec.kinds.rows import edits_text
from reconcile.spec.model import Leg, Steps
from reconcile.spec.terms import Term, currency_text, joined, same_currency


def unchanged(at: RuleDraft, rule: UnchangedRule) -> None:
    """Fields of the row stay as they were."""
    leg = at.leg
    if leg is None:
        at.wrong("leg", "the leg whose fields are watched is missing", 'add `leg = "…"`')
        return
    columns = {column.name: column for column in leg.table.columns}
    for name in rule.fields_:
        if name not in columns or columns[name].nullable or columns[name].kind == "json":
            at.wrong(
                "fields", f"{name} is no column of leg {leg.name} that can be watched", "name columns that are NOT NULL"
            )
            return
    if rule.after:
        _unchanged_after(at, rule, leg)
    else:
        for name in rule.fields_:
            _unchanged_field(at, leg, name)


def _unchanged_after(at: RuleDraft, rule: UnchangedRule, leg: Leg) -> None:
    """Edited after the first commit of a row of another leg, and the amounts that depend on it differ now."""
    if not leg.is_single or rule.after not in at.draft.scope.sets or rule.expected is None or rule.actual is None:
        at.wrong(
            "after", "`after` needs a leg with `rows = \"one\"`, a leg or subset to come after, `expected` and `actual`",
            "give them, or watch with `while`",
        )  # fmt: skip
        return
    expected, actual = at.amount("expected", rule.expected), at.amount("actual", rule.actual)
    if expected is None or actual is None:
        return
    currency = at.currency()
    base = Term("", "money", currencies=(currency,))
    names = (f"expected_{at.number}", f"actual_{at.number}")
    told = at.tell([*at.own_evidence(), *at.set_evidence(expected.sets | actual.sets)], amounts=(*names, currency))
    at.draft.history += inside(
        [f"held_{leg.name} is not None", *at.guards(), f"{edits_text(at, rule.after, rule.fields_)} is not None"],
        [
            f"{names[0]} = {expected.text}",
            f"{names[1]} = {actual.text}",
            *inside([f"{names[0]} != {names[1]}", *same_currency(joined("", "money", [base, expected, actual]))], told),
        ],
    )


def _unchanged_field(at: RuleDraft, leg: Leg, name: str) -> None:
    """Edited while the condition held, and still another value than before the first such edit."""
    row, field = "edited.row", leg.field_of(name)
    column = leg.table.columns[leg.table.place(name)]
    is_money = column.kind == "money"
    currency = currency_text(leg, row) if leg.currency else "''"
    money = (currency,) if is_money else ()
    kind = "money" if is_money else "text"
    at.without_row(
        {"old": Term("mark.old", kind, currencies=money), "new": Term(f"{row}.{field}", kind, currencies=money)}
    )
    at.scope = at.scope.bound(leg.name, row, leg)
    amounts = ("mark.old", f"{row}.{field}", currency) if is_money else ("None", "None", currency)
    told = at.tell(at.evidence((leg, "edited"), (leg, "mark")), entity="mark.primary_key", amounts=amounts)
    at.add_history(
        [f"for mark in first_edits(marks, {leg.mark_table!r}, {name!r}):"],
        [
            f"edited = registers_{leg.name}.get((mark.source, mark.primary_key))",
            *inside(["edited is not None", "not edited.deleted", f"{row}.{field} != mark.old"], told),
        ],
    )


def machine(at: RuleDraft, rule: MachineRule) -> None:
    """A step that is not listed happened; it stays told, for it cannot be taken back."""
    leg = at.leg
    if leg is None or not leg.status:
        at.wrong("leg", "it needs a leg with a status", 'name the column with `status = "…"` in the leg')
        return
    steps = steps_of(rule)
    if steps is None:
        at.wrong("steps", "a step is written `from -> to`", 'write such as `steps = ["created -> paid"]`')
        return
    text = at.draft.constant(steps)
    at.without_row({"old": Term("mark.old", "text"), "new": Term("mark.new", "text")})
    told = at.tell(at.evidence((leg, "mark")), entity="mark.primary_key")
    at.add_history([f"for mark in illegal_steps(marks, {leg.mark_table!r}, {leg.status!r}, {text}):"], told)


def steps_of(rule: MachineRule) -> Steps | None:
    """The listed steps; None if one cannot be read."""
    steps = [tuple(part.strip() for part in step.split("->")) for step in rule.steps]
    return frozenset((step[0], step[1]) for step in steps) if all(len(step) == 2 for step in steps) else None


def one_source(at: RuleDraft, _rule: OneSourceRule) -> None:
    """A primary key is live in one source only."""
    leg = at.leg
    if leg is None:
        at.wrong("leg", "the leg whose keys are looked at is missing", 'add `leg = "…"`')
        return
    at.without_row({"sources": Term("', '.join([one.source for one in held])", "text")})
    told = at.tell([f"*evidence({leg.evidence_table!r}, held)"], entity="held[0].primary_key")
    at.draft.whole += [
        f"if len(registers_{leg.name}) > 1:",
        *indented(
            [
                f"for held in in_several_sources(registers_{leg.name}):",
                *indented(inside(at.draft.existing(at.needs), told)),
            ]
        ),
    ]
