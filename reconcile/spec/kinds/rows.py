"""Rules about rows as they are now: presence, sum, unique, agree, implies, stuck."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Final

from reconcile.spec.declared import (
    AgreeRule,
    ImpliesRule,
    PresenceRule,
    StuckRule,
    SumRule,
    UnchangedRule,
    UniqueRule,
    duration_us,
)
from reconcile.spec.draft import Lines, indented, inside
from reconcile.spec.kinds.common import RuleDraft
from reconcile.spec.terms import Scope, joined, same_currency

_TOLERANCE: Final = re.compile(r"(\d{1,20}(?:\.\d{1,10})?)\s*(minor|%|)")


def presence(at: RuleDraft, rule: PresenceRule) -> None:
    """A row of the leg needs a row of `in`, at once or within the grace."""
    if at.leg is None:
        at.wrong("leg", "the leg whose rows are looked at is missing", 'add `leg = "…"`')
        return
    partner = at.partner(rule.in_, rule.on, "in")
    if partner is None:
        return
    when = at.condition("when", rule.when)
    amounts = ("None", "None", "''")
    amount_text = rule.amount or at.leg.amount
    amount = at.amount("amount", amount_text) if rule.direction and amount_text else None
    if amount is not None:
        sides = (amount.text, "0") if rule.direction == "short" else ("0", amount.text)
        amounts = (*sides, at.currency())
    due, timed = at.due(rule.due, rule.grace)
    told = at.tell(at.own_evidence(), due=due, direction=rule.direction, amounts=amounts)
    if rule.in_ in at.needs:
        at.wrong("detail", f"it tells of the row of {rule.in_} that is not there", "tell of the leg's own columns")
    at.add(inside([partner.absent, *when, *timed, *at.not_told_elsewhere()], told))


def sum_(at: RuleDraft, rule: SumRule) -> None:
    """Two amounts are equal within the tolerance; amounts in several currencies are never compared."""
    partner = at.partner(rule.with_, rule.on, "with") if rule.with_ else None
    if rule.with_ and partner is None:
        return
    exists = at.take(partner) if partner else []
    when = at.condition("when", rule.when)
    expected, actual = at.amount("expected", rule.expected), at.amount("actual", rule.actual)
    if expected is None or actual is None:
        at.tell([])  # so that errors of the detail are told as well
        return
    both = joined("", "money", [expected, actual])
    currency = at.currency()
    if currency == "''":
        currency = both.currencies[0] if both.currencies else f"first_of({' + '.join(both.spreads) or '()'})"
    one_currency = same_currency(replace(both, currencies=tuple(dict.fromkeys((currency, *both.currencies)))
                                         if both.currencies or at.leg else both.currencies))  # fmt: skip
    due, timed = at.due(rule.due or "commit", rule.grace) if rule.due or rule.grace else ("newest_us", [])
    names = (f"expected_{at.number}", f"actual_{at.number}")
    evidence = at.own_evidence()
    if partner is not None:
        evidence += at.evidence((partner.leg, partner.held))
    evidence += at.set_evidence(expected.sets | actual.sets)
    told = at.tell(evidence, due=due, amounts=(*names, currency))
    if rule.excused_by is not None:
        told = _unless_edited(at, rule, names[1], told)
    differ = _beyond(at, rule.tolerance, names, currency)
    body = [f"{names[0]} = {expected.text}", f"{names[1]} = {actual.text}"]
    if rule.mixed == "silent":
        body += inside([differ, *one_currency], told)
    else:
        body += inside([differ], told) if not one_currency else [
            f"if not ({' and '.join(one_currency)}):",
            *indented(at.tell(evidence, due=due, detail=repr("amounts in several currencies cannot be compared"))),
            f"elif {differ}:",
            *indented(told),
        ]  # fmt: skip
    found = partner.setup if partner else []
    at.add([*found, *inside([*exists, *when, *timed, *at.not_told_elsewhere()], body)])


def _beyond(at: RuleDraft, tolerance: str, names: tuple[str, str], currency: str) -> str:
    """The condition under which the amounts are further apart than the tolerance allows."""
    expected, actual = names
    if not tolerance:
        return f"{expected} != {actual}"
    read = _TOLERANCE.fullmatch(tolerance.strip())
    if read is None:
        at.wrong("tolerance", f"{tolerance!r} is no tolerance", "write `1 minor`, an amount such as `0.05`, or `0.1 %`")
        return f"{expected} != {actual}"
    number, unit = Decimal(read[1]), read[2]
    apart = f"abs({expected} - {actual})"
    if unit == "minor":
        return f"{apart} > {int(number)}"
    if unit == "":
        return f"{apart} > in_minor(Decimal({str(number)!r}), {currency})"
    share, per = number.as_integer_ratio()
    return f"{apart} * {100 * per} > abs({expected}) * {share}"


def _unless_edited(at: RuleDraft, rule: SumRule, actual: str, told: Lines) -> Lines:
    """What is told only if the amount before the first edit, which another rule tells, does not fit either."""
    edit = excusing_rule(at, rule.excused_by)
    if edit is None or at.leg is None:
        return told
    row = f"before_{at.number}"
    edits = edits_text(at, edit.after, edit.fields_)
    scope: Scope = replace(at.scope.bound(at.leg.name, row, at.leg), hoisted=lambda _name: None)
    before = at.amount("expected", rule.expected, scope)
    if before is None:
        return told
    return [f"{row} = {edits} if marks else None", *inside([f"({row} is None or {before.text} != {actual})"], told)]


def excusing_rule(at: RuleDraft, name: str | None) -> UnchangedRule | None:
    """The `unchanged` rule with `after` that `excused_by` names; None where there is none, which is reported."""
    for one in at.draft.declared.rules:
        if isinstance(one, UnchangedRule) and (one.name, one.leg) == (name, at.rule.leg) and one.after:
            # An `after` that is not there is reported of that rule.
            return one if one.after in at.draft.scope.sets else None
    at.wrong("excused_by", f"leg {at.rule.leg} has no unchanged rule {name} with `after`", "name one")
    return None


def edits_text(at: RuleDraft, after: str, columns: list[str]) -> str:
    """The text of the leg's row before edits of the columns that came after the first row of `after`, or None."""
    assert at.leg is not None
    at.draft.require_set(after)
    leg = at.leg
    fields = {column: leg.field_of(column) for column in columns if column in leg.topic_columns}
    return f"row_before(row_{leg.name}, marks, {leg.mark_table!r}, {fields!r}, first_commit_us(set_{after}))"


def unique(at: RuleDraft, rule: UniqueRule) -> None:
    """The columns differ from row to row; every row but the one with the lowest id is told."""
    leg = at.leg
    if leg is None or leg.is_single:
        at.wrong("leg", "it needs a leg that can have several rows", 'add `leg = "…"` with `rows = "many"`')
        return
    for column in rule.by:
        if column not in leg.topic_columns:
            at.wrong("by", f"leg {leg.name} has no column {column}", f"its columns are {', '.join(leg.topic_columns)}")
            return
    kept, twice, seen = f"kept_{at.number}", f"twice_{at.number}", f"seen_{at.number}"
    at.scope = at.scope.bound("first", f"{kept}.row", leg)
    when = at.condition("when", rule.when)
    nullable = {column.name for column in leg.table.columns if column.nullable}
    row = f"row_{leg.name}"
    given = [f"{row}.{leg.field_of(column)} is not None" for column in rule.by if column in nullable]
    amount = at.amount("leg", leg.amount) if leg.amount else None
    amounts = ("0", amount.text, at.currency()) if amount else ("None", "None", "''")
    told = at.tell(
        at.evidence((leg, f"held_{leg.name}"), (leg, kept)), direction="long" if amount else "", amounts=amounts
    )
    key = ", ".join(f"{row}.{leg.field_of(column)}" for column in rule.by)
    at.draft.before_rows[leg.name].append(f"{seen} = {{}}")
    at.draft.rows[leg.name].append(f"{twice} = False")
    at.draft.rows[leg.name] += inside(
        [f"len(set_{leg.name}) > 1", *given, *when],
        [
            f"{kept} = {seen}.setdefault(({key},), held_{leg.name})",
            f"{twice} = {kept}.primary_key != held_{leg.name}.primary_key",
            *inside([twice, *at.guards()], told),
        ],
    )


def agree(at: RuleDraft, rule: AgreeRule) -> None:
    """A column of the row is that of its partner."""
    if at.leg is None:
        at.wrong("leg", "the leg whose rows are compared is missing", 'add `leg = "…"`')
        return
    partner = at.partner(rule.with_, rule.on, "with")
    pairs = at.column_pairs([rule.column], partner.leg) if partner else None
    if partner is None or pairs is None:
        return
    ((ours, theirs),) = pairs
    kinds = {leg.table.columns[leg.table.place(name)].kind for leg, name in ((at.leg, ours), (partner.leg, theirs))}
    if "money" in kinds or len(kinds - {"id", "text"}) > 1:
        at.wrong(
            "column", f"{ours} and {theirs} are not of one kind, or are amounts", "compare amounts with a sum rule"
        )
        return
    exists = at.take(partner)
    when = at.condition("when", rule.when)
    told = at.tell(
        [*at.own_evidence(), *at.evidence((partner.leg, partner.held))], amounts=("None", "None", at.currency())
    )
    differ = f"row_{at.leg.name}.{at.leg.field_of(ours)} != {partner.row}.{partner.leg.field_of(theirs)}"
    at.add([*partner.setup, *inside([*exists, differ, *when, *at.not_told_elsewhere()], told)])


def implies(at: RuleDraft, rule: ImpliesRule) -> None:
    """Where one condition holds, another does, at once or within the grace."""
    when = at.condition("when", rule.when)
    then = at.draft.condition(rule.then, at.scope, at.place("then"))
    if then is None or not when:
        at.tell([])  # so that errors of the detail are told as well
        return
    at.needs |= then.needs
    at.may_fail = at.may_fail or then.may_fail
    due, timed = at.due(rule.due, rule.grace)
    told = at.tell(at.own_evidence() or at.set_evidence(then.sets), due=due)
    at.add(inside([*when, f"not {then.text}", *timed, *at.not_told_elsewhere()], told))


def stuck(at: RuleDraft, rule: StuckRule) -> None:
    """A row has been in its status for longer than the limit of the status allows."""
    leg = at.leg
    if leg is None or not leg.status:
        at.wrong("leg", "it needs a leg with a status", 'name the column with `status = "…"` in the leg')
        return
    limits = {status: duration_us(text) for status, text in rule.limits.items()}
    status = f"row_{leg.name}.{leg.field_of(leg.status)}"
    limit = f"limit_{at.number}"
    when = at.condition("when", rule.when)
    told = at.tell(at.own_evidence(), due=f"held_{leg.name}.commit_us + {limit}")
    default = f", {at.draft.constant(limits)}.get({status})" if limits else ""
    body = [
        f"{limit} = limits_us.get(({leg.table.name!r}, {status}){default})",
        *inside([f"{limit} is not None", *when], told),
    ]
    at.add(body if limits else inside(["limits_us"], body))
