"""Every kind of rule, compiled, says what a plain reading of its definition says, whatever rows there are."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from reconcile.finding import Finding
from reconcile.spec.model import Tolerances
from tests.spec_books import (
    GRACE_US,
    HEAD,
    KEY,
    NEWEST_US,
    ROWS,
    SECOND_US,
    STATUSES,
    TIMES,
    books_of,
    group_of,
    ids,
    judged,
    put,
    rule_text,
)
from trueup.model.registers import Mark
from trueup.model.tables import Id

Rows = dict[str, list[tuple[Any, ...]]]
"""Leg → rows. day: account, day, currency, opening, status, closed_at. ledger: entry_id, account, day, reference, amount,
fee, currency, status, booked_at. bank: line_id, holder, day, ref, value (in USD)."""


NO_LIMITS = Tolerances(GRACE_US, {})


def lowest_first(identifier: Any) -> tuple[bool, Any]:
    return (False, identifier) if isinstance(identifier, int) else (True, identifier)


def by_id(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: lowest_first(row[0]))


def told(findings: list[Finding]) -> list[tuple[Any, int, str, int | None, int | None, str]]:
    return [
        (one.entity_id, one.due_us, one.direction, one.expected_minor, one.actual_minor, one.currency)
        for one in findings
    ]


def commit_us(rows: list[tuple[Any, ...]], row: tuple[Any, ...]) -> int:
    return rows.index(row) * SECOND_US


@given(ROWS)
def test_presence_by_columns(rows: Rows) -> None:
    rule = rule_text(
        "presence", leg="ledger", in_="bank", on=["reference = ref"], when="ledger.status != 'new'", direction="short",
        amount="ledger.amount",
    )  # fmt: skip
    references = [line[3] for line in rows["bank"] if line[3] is not None]
    assert told(judged(rule, rows)) == [
        (row[0], row[8] + GRACE_US, "short", row[4], 0, row[6])
        for row in by_id(rows["ledger"])
        if row[7] != "new" and row[3] not in references
    ]


@given(ROWS)
def test_presence_in_the_whole_group(rows: Rows) -> None:
    rule = rule_text("presence", leg="bank", in_="ledger", due="commit", grace="2 min", direction="long")
    assert told(judged(rule, rows)) == [
        (row[0], commit_us(rows["bank"], row) + 120 * SECOND_US, "long", 0, row[4], "USD")
        for row in by_id(rows["bank"])
        if not rows["ledger"]
    ]


@given(ROWS)
def test_presence_with_a_due_time_that_may_be_missing(rows: Rows) -> None:
    rule = rule_text("presence", leg="day", in_="bank", due="closed_at", grace="0 s")
    expected = [row[5] for row in rows["day"] if row[5] is not None and not rows["bank"]]
    assert [one.due_us for one in judged(rule, rows)] == expected


@given(ROWS)
def test_presence_in_a_subset_with_distinct_rows(rows: Rows) -> None:
    subset = """
[[group.subset]]
name = "real"
leg = "bank"
where = "bank.value != 0 and bank.ref != None"
distinct = ["ref"]
"""
    rule = subset + rule_text("implies", leg="day", when="count(real) > 1", then="sum(real, real.value) > 0")
    first: dict[str, int] = {}
    for line in by_id(rows["bank"]):
        if line[4] != 0 and line[3] is not None:
            first.setdefault(line[3], line[4])
    broken = len(first) > 1 and sum(first.values()) <= 0
    assert len(judged(rule, rows)) == len(rows["day"]) * broken


TOLERANCES = st.sampled_from(("", "0 minor", "7 minor", "1.00", "0.05", "10 %", "0.5 %"))


@given(ROWS, TOLERANCES)
def test_sum_over_the_group(rows: Rows, tolerance: str) -> None:
    options = {"tolerance": tolerance} if tolerance else {}
    rule = rule_text(
        "sum", expected="sum(ledger, ledger.amount - ledger.fee)", actual="sum(bank, bank.value)", **options
    )
    expected = sum(row[4] - (row[5] or 0) for row in rows["ledger"])
    actual = sum(row[4] for row in rows["bank"])
    currencies = {row[6] for row in rows["ledger"]} | ({"USD"} if rows["bank"] else set())
    findings = judged(rule, rows)
    if len(currencies) > 1:
        assert [(one.expected_minor, one.actual_minor) for one in findings] == [(None, None)]
        return
    apart, number = abs(expected - actual), Fraction(tolerance.split(" ")[0] or 0)
    factor = 1 if currencies == {"JPY"} else 100
    allowed = number * abs(expected) / 100 if "%" in tolerance else number if "minor" in tolerance else number * factor
    assert [(one.entity_id, one.expected_minor, one.actual_minor) for one in findings] == (
        [('["acme",7]', expected, actual)] if apart > allowed else []
    )


@given(ROWS)
def test_sum_of_a_row_and_its_partner(rows: Rows) -> None:
    rule = rule_text(
        "sum", leg="ledger", with_="bank", on=["reference = ref"], expected="ledger.amount", actual="bank.value",
        mixed="silent",
    )  # fmt: skip
    found = []
    for row in by_id(rows["ledger"]):
        partner = next((line for line in by_id(rows["bank"]) if line[3] is not None and line[3] == row[3]), None)
        if partner is not None and row[6] == "USD" and partner[4] != row[4]:
            found.append((row[0], NEWEST_US, "", row[4], partner[4], "USD"))
    assert told(judged(rule, rows)) == found


@given(ROWS)
def test_a_product_is_rounded_half_up_to_the_minor_unit(rows: Rows) -> None:
    rule = rule_text("sum", leg="ledger", expected="ledger.amount × 0.015", actual="ledger.fee")
    found = []
    for row in by_id(rows["ledger"]):
        charge = int((Decimal(row[4]) * Decimal("0.015")).quantize(Decimal(1), ROUND_HALF_UP))
        if charge != (row[5] or 0):
            found.append((row[0], charge, row[5] or 0))
    assert [(one.entity_id, one.expected_minor, one.actual_minor) for one in judged(rule, rows)] == found


@given(ROWS)
def test_a_division_by_zero_is_told(rows: Rows) -> None:
    rule = rule_text("implies", leg="ledger", when="ledger.status == 'new'", then="ledger.amount ÷ ledger.fee < 2")
    found = [
        row[0] for row in by_id(rows["ledger"]) if row[7] == "new" and (not row[5] or Fraction(row[4], row[5]) >= 2)
    ]
    findings = judged(rule, rows)
    assert ids(findings) == found
    undecided = {row[0] for row in rows["ledger"] if row[7] == "new" and not row[5]}
    assert {one.entity_id for one in findings if "divides by zero" in one.detail} == undecided


@given(ROWS)
def test_unique(rows: Rows) -> None:
    rule = rule_text("unique", leg="ledger", by=["reference", "status"], detail="as {first.entry_id}")
    first: dict[Any, tuple[Any, ...]] = {}
    found = [
        (row[0], f"as {first[row[3], row[7]][0]}")
        for row in by_id(rows["ledger"])
        if row[3] is not None and first.setdefault((row[3], row[7]), row) is not row
    ]
    assert [(one.entity_id, one.detail) for one in judged(rule, rows)] == found


@given(ROWS)
def test_what_is_told_as_a_repetition_is_not_told_again(rows: Rows) -> None:
    unique = rule_text("unique", leg="bank", by=["ref"]).replace('"it"', '"twice"')
    presence = rule_text("presence", leg="bank", in_="ledger", on=["ref = reference"], unless="twice")
    findings = judged(f"{unique}\n{presence}", rows)
    repeated = {one.entity_id for one in findings if one.rule == "twice"}
    references = {row[3] for row in rows["ledger"]} - {None}
    missing = {line[0] for line in rows["bank"] if line[3] not in references}
    assert {one.entity_id for one in findings if one.rule == "it"} == missing - repeated


@given(ROWS)
def test_a_cardinality_that_says_one_is_held(rows: Rows) -> None:
    rule = rule_text("presence", leg="ledger", in_="bank", on=["reference = ref"], cardinality="N:1")
    seen: set[str] = set()
    found = []
    for line in by_id(rows["bank"]):
        if line[3] is not None and line[3] in seen:
            found.append(line[0])
        seen.add(line[3])
    assert ids([one for one in judged(rule, rows) if one.rule == "duplicate-bank"]) == found


@given(ROWS)
def test_agree(rows: Rows) -> None:
    rule = rule_text("agree", leg="ledger", with_="day", column="currency", currency="day.currency")
    found = [(row[0], day[2]) for day in rows["day"] for row in by_id(rows["ledger"]) if row[6] != day[2]]
    assert [(one.entity_id, one.currency) for one in judged(rule, rows)] == found


@given(ROWS)
def test_implies(rows: Rows) -> None:
    rule = rule_text(
        "implies", leg="day", when="day.status == 'done'", grace="1 s",
        then="any(ledger, ledger.amount > 2 and ledger.currency == 'USD') or count(bank, bank.value < 0) == 2",
    )  # fmt: skip
    holds = any(row[4] > 200 and row[6] == "USD" for row in rows["ledger"]) or (
        sum(line[4] < 0 for line in rows["bank"]) == 2
    )
    found = [SECOND_US for day in rows["day"] if day[4] == "done" and not holds]
    assert [one.due_us for one in judged(rule, rows)] == found


@given(ROWS)
def test_stuck(rows: Rows) -> None:
    rule = rule_text("stuck", leg="ledger", limits={"new": "1 min"}, detail="still {ledger.status}")
    limits = {"new": 60 * SECOND_US, "held": 7 * SECOND_US}
    assert [(one.entity_id, one.due_us, one.detail) for one in judged(rule, rows)] == [
        (row[0], commit_us(rows["ledger"], row) + limits[row[7]], f"still {row[7]}")
        for row in by_id(rows["ledger"])
        if row[7] in limits
    ]


RUNS = st.builds(
    lambda service, vehicle, km: f'{{"service": "{service}", "vehicle": "{vehicle}", "stops": 15, "km": {km}, "weight_t": "0.3"}}',
    st.sampled_from(("delivery", "delivery", "freight")), st.sampled_from(("van", "van", "bicycle")),
    st.sampled_from((30, 40, 41, 60)),
)  # fmt: skip
VAN_START, VAN_PER_KM, VAN_START_KM = 120_00, 1_20, 40
BILLED = st.sampled_from((VAN_START, VAN_START + VAN_PER_KM, VAN_START + 20 * VAN_PER_KM, 1))
IN_CNY = HEAD.replace('currency = "USD"', 'currency = "CNY"')
CHARGED_LINES = group_of(
    rule_text("formula", leg="bank", charging="carrier", factors="ref", actual="bank.value"), IN_CNY
)
BY_LINES = {"leg": "day", "actual": "sum(bank, bank.value)"}
CHARGED_DAYS = group_of(
    "\n".join(
        [
            rule_text("unchanged", fields=["opening"], after="bank", expected="day.opening", **BY_LINES).replace('"it"', '"edited"'),
            rule_text("formula", when="any(bank)", charging="carrier", factors="status", excused_by="edited",
                      detail_edited="changed", **BY_LINES),
        ]
    ),
    IN_CNY,
)  # fmt: skip


def charge_minor(factors: str) -> int | None:
    """What a run costs; None for one that nothing is agreed about."""
    run = orjson.loads(factors)
    if (run["service"], run["vehicle"]) != ("delivery", "van"):
        return None
    return VAN_START + max(int(run["km"]) - VAN_START_KM, 0) * VAN_PER_KM


@given(st.lists(st.tuples(RUNS, BILLED), max_size=4))
def test_formula(runs: list[tuple[str, int]]) -> None:
    rows = [(number, "acme", 7, factors, billed) for number, (factors, billed) in enumerate(runs)]
    found = []
    for number, _holder, _day, factors, billed in rows:
        charge = charge_minor(factors)
        if charge not in (None, billed):
            found.append((number, charge, billed))
    findings = CHARGED_LINES.judge(books_of(CHARGED_LINES, {"bank": rows}), NO_LIMITS)
    assert [(one.entity_id, one.expected_minor, one.actual_minor) for one in findings] == found


def marks_of(leg: str, field: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Mark]]:
    """Changes of a field of some rows, each at a time of its own."""
    keys: st.SearchStrategy[Id] = st.sampled_from((1, 2, "a"))
    steps = st.tuples(keys, values, values, TIMES)
    return st.lists(steps, max_size=4, unique_by=lambda step: step[3]).map(
        lambda made: [
            Mark(leg, "a", key, at_us, at_us, field, old, new, 0, 0) for key, old, new, at_us in made if old != new
        ]
    )


@given(ROWS, marks_of("ledger", "status", STATUSES))
def test_machine(rows: Rows, marks: list[Mark]) -> None:
    rule = rule_text("machine", leg="ledger", steps=["new -> held", "held -> done"], detail="{old} to {new}")
    first: dict[Any, Mark] = {}
    for mark in sorted(marks, key=lambda mark: mark.commit_us):
        if (mark.old, mark.new) not in {("new", "held"), ("held", "done")}:
            first.setdefault(mark.primary_key, mark)
    assert {(one.entity_id, one.detail) for one in judged(rule, rows, marks)} == {
        (key, f"{mark.old} to {mark.new}") for key, mark in first.items()
    }


@given(ROWS, marks_of("ledger", "amount", st.integers(-300, 300)))
def test_unchanged_while(rows: Rows, marks: list[Mark]) -> None:
    rule = rule_text("unchanged", leg="ledger", fields=["amount"], while_="ledger.status == 'done'")
    now = {row[0]: row[4] for row in rows["ledger"]}
    first: dict[Any, Any] = {}
    for mark in sorted(marks, key=lambda mark: mark.commit_us):
        first.setdefault(mark.primary_key, mark.old)
    assert {(one.entity_id, one.expected_minor, one.actual_minor) for one in judged(rule, rows, marks)} == {
        (key, old, now[key]) for key, old in first.items() if key in now and now[key] != old
    }


@given(ROWS, marks_of("day", "opening", st.integers(-300, 300)))
def test_unchanged_after(rows: Rows, marks: list[Mark]) -> None:
    options = {"expected": "day.opening", "actual": "sum(bank, bank.value)"}
    edits = rule_text("unchanged", leg="day", fields=["opening"], after="bank", **options).replace('"it"', '"edited"')
    total = rule_text("sum", leg="day", mixed="silent", excused_by="edited", **options)
    findings = judged(f"{edits}\n{total}", rows, marks)
    # The first line was committed at 0, so every mark after that counts.
    later = (
        sorted((mark for mark in marks if mark.commit_us > 0), key=lambda mark: mark.commit_us) if rows["bank"] else []
    )
    found = []
    for day in rows["day"]:
        billed = sum(line[4] for line in rows["bank"])
        comparable = day[2] == "USD" or not rows["bank"]
        if comparable and billed != day[3]:
            if later:
                found.append(("edited", day[3], billed))
            if not later or later[0].old != billed:
                found.append(("it", day[3], billed))
    assert sorted((one.rule, one.expected_minor, one.actual_minor) for one in findings) == sorted(found)


@given(
    RUNS, st.lists(BILLED, max_size=1), st.sampled_from((VAN_START, 1)), marks_of("day", "status", RUNS),
    marks_of("day", "opening", st.integers(-300, 300)),
)  # fmt: skip
def test_formula_and_unchanged_after(
    factors: str, billed: list[int], opening: int, charged: list[Mark], opened: list[Mark]
) -> None:
    rows: Rows = {
        "day": [("acme", 7, "CNY", opening, factors, None)],
        "bank": [(number, "acme", 7, None, amount) for number, amount in enumerate(billed)],
    }
    # The first line was committed at 0, so every mark after that counts.
    later = sorted((mark for mark in charged if mark.commit_us > 0), key=lambda mark: mark.commit_us)
    as_billed = [charge_minor(str(mark.old)) for mark in later[:1]]
    charge, total = charge_minor(factors), sum(billed)
    found = []
    if billed and charge not in (None, total):
        found.append(("edited" if total in as_billed else "it", charge, total))
    if billed and opening != total and any(mark.commit_us > 0 for mark in opened):
        found.append(("edited", opening, total))
    findings = CHARGED_DAYS.judge(books_of(CHARGED_DAYS, rows, charged + opened), NO_LIMITS)
    assert [(one.rule, one.expected_minor, one.actual_minor) for one in findings] == found


@given(ROWS, st.lists(st.sampled_from((1, 2, "a")), max_size=2, unique=True))
def test_one_source(rows: Rows, elsewhere: list[Any]) -> None:
    group = group_of(rule_text("one-source", leg="bank", detail="in {sources}"))
    books = books_of(group, rows)
    for key in elsewhere:
        put(books, group, "bank", key, "acme", 7, None, 0, source="b")
    here = {line[0] for line in rows["bank"]}
    assert {(one.entity_id, one.detail) for one in group.judge(books, NO_LIMITS)} == {
        (key, "in a, b") for key in elsewhere if key in here
    }


@given(ROWS, st.sampled_from(("ledger", "day")))
def test_findings_of_users_specs_carry_the_name_of_the_spec(rows: Rows, leg: str) -> None:
    rule = rule_text("implies", leg=leg, when="True", then="False")
    findings = judged(rule, rows)
    assert {one.entity_kind for one in findings} <= {f"bank.{leg}"}
    assert len(findings) == len(rows[leg])
    assert all(one.shop_id == (KEY[0] if rows["ledger"] else "") for one in findings)
