"""Specs are read whole or refused whole: every error at once, each with its line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.decode import ChangeDecoder
from reconcile.settlement import shipped_settlement
from reconcile.spec.errors import SpecError
from reconcile.spec.load import load_spec, read_spec, shipped_specs
from tests.source_log import envelope
from tests.spec_books import HEAD, group_of, judged, rule_text
from trueup.model.change import Change
from trueup.model.tables import TABLES
from trueup.model.toml_lines import line_of, lines_of

KINDS = (
    "'id', 'text', 'currency', 'money', 'time', 'date', 'int', 'flag', 'json', 'id?', 'text?', 'currency?', 'money?', "
    "'time?', 'date?', 'int?', 'flag?' or 'json?'"
)
LINES_OF_HEAD = len(HEAD.splitlines())


def errors(text: str) -> list[tuple[int, str]]:
    """(line, what) of every problem."""
    with pytest.raises(SpecError) as caught:
        read_spec(text, file="bank.toml")
    assert all(problem.remedy and problem.file == "bank.toml" for problem in caught.value.problems)
    return [(problem.line, problem.what) for problem in caught.value.problems]


def error_of(rule: str, head: str = HEAD) -> str:
    """The one error of a piece behind the head."""
    ((line, what),) = errors(f"{head}\n{rule}")
    assert line > LINES_OF_HEAD
    return what


def test_the_shipped_specs_are_in_order() -> None:
    assert shipped_specs() == ["settlement"]
    assert load_spec("settlement").version == 1


def test_the_settlement_spec_reads_the_tables_that_are_mirrored() -> None:
    legs = {leg.source_table: leg for group in shipped_settlement().groups for leg in group.legs}
    assert {name: leg.table.columns for name, leg in legs.items()} == {name: TABLES[name].columns for name in legs}
    assert {leg.row_type.__name__ for leg in legs.values()} == {
        "Order", "BillingItem", "PayoutItem", "Statement", "Payout"
    }  # fmt: skip


def test_a_spec_names_its_groups_legs_and_rules() -> None:
    spec = read_spec(HEAD + rule_text("one-source", leg="bank"), file="bank.toml")
    (group,) = spec.groups
    assert (spec.name, spec.version, spec.classes) == ("bank", 3, {"it": "mismatch"})
    assert (group.spec_name, group.spec_version, group.name, group.key) == ("bank", 3, "days", ("account", "day"))
    assert [(leg.name, leg.source_table, leg.match, leg.entity_kind) for leg in group.legs] == [
        ("day", "days", ("account", "day"), "bank.day"),
        ("ledger", "book.ledger", ("account", "day"), "bank.ledger"),
        ("bank", "bank_line", ("holder", "day"), "bank.bank"),
    ]


def test_rows_are_keyed_by_the_legs_own_columns() -> None:
    group = group_of("")
    bank = group.legs[2]
    row = bank.row_type(line_id=1, holder="acme", day=7, ref=None, value=100)
    assert bank.match_of(row) == ("acme", 7)


def test_a_leg_decodes_composite_keys_and_amounts_in_a_fixed_currency() -> None:
    day, _ledger, bank = group_of("").legs
    line = {"line_id": 1, "holder": "acme", "day": 7, "ref": None, "value": "1.25"}
    change = ChangeDecoder(bank.table).decode(envelope(None, line, "c", 1, 1), 0, 0)
    assert isinstance(change, Change)
    assert (change.primary_key, change.row) == (1, (1, "acme", 7, None, 125))
    row = {"account": "acme", "day": 7, "currency": "JPY", "opening": "5", "status": "open", "closed_at": None}
    change = ChangeDecoder(day.table).decode(envelope(None, row, "c", 1, 1), 0, 0)
    assert isinstance(change, Change)
    assert change.primary_key == '["acme",7]'
    assert dict(zip(day.topic_columns, change.row or (), strict=True))["opening"] == 5


def test_changes_that_a_rule_holds_against_a_row_leave_a_mark() -> None:
    machine = rule_text("machine", leg="ledger", steps=["new -> held"])
    edits = rule_text("unchanged", leg="ledger", fields=["amount"], while_="ledger.status == 'held'").replace(
        "it", "ed", 1
    )
    group = group_of(f"{machine}\n{edits}")
    ledger = group.legs[1]
    assert ledger.table.tracked == ("amount", "status")
    row = ledger.row_type(1, "acme", 7, None, 200, None, "USD", "held", 0)
    assert group.held_against(ledger, [("amount", 100, 200)], row) == [("amount", 100, 200)]
    assert group.held_against(ledger, [("status", "new", "held"), ("amount", 100, 200)], row) == []
    assert group.held_against(ledger, [("status", "done", "held")], row) == [("status", "done", "held")]
    assert group.held_against(group.legs[2], [("value", 1, 2)], ()) == []


def test_edits_of_factors_leave_a_mark_where_a_formula_asks_for_them() -> None:
    amounts = {"expected": "day.opening", "actual": "sum(bank, bank.value)"}
    edits = rule_text("unchanged", leg="day", fields=["opening"], after="bank", **amounts).replace('"it"', '"ed"', 1)
    charge = {"leg": "day", "charging": "carrier", "factors": "status", "actual": amounts["actual"]}
    watched = group_of(f"{edits}\n{rule_text('formula', excused_by='ed', detail_edited='changed', **charge)}")
    day = watched.legs[0]
    row = day.row_type("acme", 7, "CNY", 100, "{}", None)
    assert day.table.tracked == ("opening", "status")
    assert watched.held_against(day, [("status", "[]", "{}")], row) == [("status", "[]", "{}")]
    assert group_of(f"{edits}\n{rule_text('formula', **charge)}").legs[0].table.tracked == ("opening",)


def test_details_are_filled_in_for_people() -> None:
    rule = rule_text(
        "implies", leg="ledger", when="True", then="False", detail="{ledger.amount} of {{{ledger.reference}}}"
    )
    rows = {"ledger": [(1, "acme", 7, "r1", 1234, None, "USD", "new", 0)]}
    assert [one.detail for one in judged(rule, rows)] == ["12.34 USD of {r1}"]


@pytest.mark.parametrize("expected", [f"bank.value × {10**30}", "bank.value ÷ (bank.day - 7)"])
def test_a_result_that_cannot_be_written_down_is_told_as_such(expected: str) -> None:
    rule = rule_text("sum", leg="bank", expected=expected, actual="bank.value")
    (told,) = judged(rule, {"bank": [(1, "acme", 7, None, 10**25)]})
    assert (told.expected_minor, told.actual_minor) == (None, None)
    assert told.detail.startswith("the rule cannot be decided")


def test_all_errors_are_told_at_once() -> None:
    text = HEAD.replace("version = 3", 'version = "3"').replace('reference = "text?"', 'reference = "string"')
    text += (
        rule_text("presense", leg="bank") + "\n" + rule_text("implies", leg="bank", when="bank.valu > 1", then="foo")
    )
    assert [what for _line, what in errors(text)] == [
        "the spec: `version`: Input should be a valid integer",
        f"leg 2 of group 1: `reference`: Input should be {KINDS}",
        "rule 1 of group 1: there is no such kind of rule",
        "`when`: leg bank has no column valu",
        "`then`: there is no name foo",
    ]


def test_what_stands_on_something_broken_is_not_blamed() -> None:
    text = HEAD.replace('primary_key = "line_id"', 'primary_key = "id"')
    text += (
        rule_text("presence", leg="ledger", in_="bank") + "\n" + rule_text("stuck", leg="day").replace("it", "on", 1)
    )
    assert errors(text) == [(41, "leg bank has no column id")]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('match = ["holder", "day"]', 'match = ["holder"]', "leg bank matches by 1 columns, the key of the group has 2"),
        ('match = ["holder", "day"]', 'match = ["holder", "ref"]', "leg bank: ref may be NULL, which is no key"),
        ('match = ["holder", "day"]', 'match = ["holder", "value"]', "leg bank: value of the kind money cannot be part of a key"),
        ('currency = "USD"', "", "leg bank has amounts, and which currency they are in is not told"),
        ('currency = "USD"', 'currency = "XXX"', "leg bank: XXX is neither a column of the kind currency nor an ISO-4217 code"),
        ('primary_key = "line_id"', 'primary_key = "line_id"\nrows = "one"',
         "leg bank can have several rows of one key: its primary key is line_id"),
        ('currency = "USD"', 'currency = "USD"\nstatus = "value"', "leg bank: value is no column of the kind text"),
        ('name = "bank"\ntable', 'name = "ledger"\ntable', "two legs are called ledger"),
        ('currency = "USD"', 'currency = "USD"\nparent = { group = "x" }',
         "leg bank: the parent's group or key is not one of this file"),
        ('currency = "USD"', 'currency = "USD"\namount = "ledger.amount"', "`amount`: there is no leg ledger"),
    ],
)  # fmt: skip
def test_errors_of_legs(old: str, new: str, what: str) -> None:
    assert what in [told for _line, told in errors(HEAD.replace(old, new))]


@pytest.mark.parametrize(
    ("kind", "options", "what"),
    [
        ("presence", {"leg": "bank", "in_": "nothing"}, "rule it: there is no leg or subset nothing"),
        ("presence", {"leg": "bank", "in_": "day", "due": "ref"}, "rule it: ref is no column of the kind time"),
        ("presence", {"leg": "bank", "in_": "day", "on": ["x"]}, "rule it: leg bank has no column x"),
        ("presence", {"leg": "bank", "in_": "day", "unless": "x"}, "rule it: there is no unique rule x of leg bank"),
        ("presence", {"leg": "nobody", "in_": "day"}, "rule it: there is no leg nobody"),
        ("presence", {"leg": "bank", "in_": "day", "grace": "soon"},
         "rule 1 of group 1: `grace`: a duration is a whole number and a unit, such as `5 min`; units are us, ms, s, min, h, d"),
        ("sum", {"expected": "1", "actual": "sum(bank, bank.value)"}, "`expected`: this is a number, an amount is needed"),
        ("sum", {"expected": "0", "actual": "sum(bank, bank.value)", "tolerance": "much"}, "rule it: 'much' is no tolerance"),
        ("sum", {"expected": "0", "actual": "bank.value"}, "`actual`: bank has many rows, which one is meant is not known here"),
        ("sum", {"leg": "day", "expected": "0", "actual": "sum(bank, bank.value)", "excused_by": "x"},
         "rule it: leg day has no unchanged rule x with `after`"),
        ("formula", {"leg": "day", "charging": "carrier", "factors": "status", "actual": "day.opening",
                     "excused_by": "x", "detail_edited": "changed"},
         "rule it: leg day has no unchanged rule x with `after`"),
        ("formula", {"leg": "day", "charging": "carrier", "factors": "status", "actual": "day.opening", "excused_by": "x"},
         "rule it: `excused_by` and `detail_edited` come together"),
        ("formula", {"leg": "day", "charging": "carrier", "factors": "status", "actual": "day.opening",
                     "detail_edited": "changed"},
         "rule it: `excused_by` and `detail_edited` come together"),
        ("unique", {"leg": "bank", "by": ["x"]}, "rule it: leg bank has no column x"),
        ("unique", {"leg": "day", "by": ["day"]}, "rule it: it needs a leg that can have several rows"),
        ("agree", {"leg": "ledger", "with_": "bank", "column": "amount = value"},
         "rule it: amount and value are not of one kind, or are amounts"),
        ("implies", {"leg": "bank", "when": "bank.value", "then": "True"}, "`when`: this is an amount, a condition is needed"),
        ("implies", {"leg": "bank", "when": "bank.ref > 1", "then": "True"}, "`when`: a text and a number cannot go together"),
        ("implies", {"leg": "bank", "when": "bank.value * bank.value > 1", "then": "True"},
         "`when`: two amounts cannot be multiplied"),
        ("implies", {"leg": "bank", "when": "any(day, day.x)", "then": "True"}, "`when`: leg day has no column x"),
        ("implies", {"leg": "bank", "when": "bank.line_id > 1", "then": "True"},
         "`when`: ids have no order: some are numbers, some are texts"),
        ("unchanged", {"leg": "bank", "fields": ["ref"]}, "rule it: ref is no column of leg bank that can be watched"),
        ("machine", {"leg": "bank", "steps": ["a -> b"]}, "rule it: it needs a leg with a status"),
        ("machine", {"leg": "day", "steps": ["a to b"]}, "rule it: a step is written `from -> to`"),
        ("stuck", {"leg": "bank"}, "rule it: it needs a leg with a status"),
        ("late-member", {"leg": "bank"},
         "rule it: rules of the kind late-member need the running totals of statements and payouts"),
        ("one-source", {"leg": "bank", "detail": "{"}, "the text cannot be read: Single '{' encountered in format string"),
    ],
)  # fmt: skip
def test_errors_of_rules(kind: str, options: dict[str, object], what: str) -> None:
    assert error_of(rule_text(kind, **options)) == what


@pytest.mark.parametrize("turn", [1, -1])
def test_an_excuse_that_comes_after_nothing_is_told_once(turn: int) -> None:
    amounts = {"expected": "day.opening", "actual": "sum(bank, bank.value)"}
    edits = rule_text("unchanged", leg="day", fields=["opening"], after="nothing", **amounts).replace('"it"', '"ed"', 1)
    total = rule_text("sum", leg="day", excused_by="ed", **amounts)
    assert "`after` needs a leg" in error_of("\n".join([edits, total][::turn]))


def test_names_are_taken_once() -> None:
    once = rule_text("one-source", leg="bank")
    assert error_of(f"{once}\n{once}") == "two rules about bank are called it"
    other = rule_text("one-source", leg="day").replace("mismatch", "one-sided")
    assert error_of(f"{once}\n{other}") == "rule it has two classes"
    assert error_of('[[group.subset]]\nname = "bank"\nleg = "bank"') == "the name bank is taken"


def test_a_definition_that_leads_back_to_itself_is_refused() -> None:
    rule = rule_text("implies", leg="bank", when="one", then="True")
    assert error_of(f"[group.define]\none = 'two'\ntwo = 'not one'\n{rule}").endswith("leads back to itself")


def test_a_file_that_is_no_toml_or_no_file_is_told_in_words(tmp_path: Path) -> None:
    ((line, what),) = errors("name = ")
    assert (line, what.startswith("the file is not valid TOML")) == (1, True)
    with pytest.raises(SpecError, match="the file does not exist"):
        load_spec(tmp_path / "nothing.toml")


def test_lines_are_those_of_the_text() -> None:
    text = '\n[[group]]\n[[group.rule]]\nname = "a"\n[[group.rule]]\n[[group]]\n[group.define]\n"x" = 1\n'
    lines = lines_of(text)
    assert lines["group", 0, "rule", 0, "name"] == 4
    assert lines["group", 0, "rule", 1] == 5
    assert lines["group", 1, "define", "x"] == 8
    assert line_of(lines, ("group", 0, "rule", 1, "missing")) == 5
