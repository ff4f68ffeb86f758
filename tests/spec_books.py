"""Books of a small spec for tests: a ledger and a bank that should tell the same story, in any state of disorder."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reconcile.finding import Finding
from reconcile.spec.load import read_spec
from reconcile.spec.model import SpecGroup, Tolerances
from trueup.model.registers import GroupBooks, Mark, Register

SECOND_US = 1_000_000
NEWEST_US = 100 * SECOND_US
GRACE_US = 5 * SECOND_US
TOLERANCES = Tolerances(GRACE_US, {("ledger", "held"): 7 * SECOND_US})
KEY = ("acme", 7)

HEAD = """
name = "bank"
version = 3

[[group]]
name = "days"
key = ["account", "day"]
shop = ["ledger.account"]

[[group.leg]]
name = "day"
table = "days"
match = ["account", "day"]
primary_key = ["account", "day"]
rows = "one"
columns = { account = "id", day = "int", currency = "currency", opening = "money", status = "text", closed_at = "time?" }
status = "status"

[[group.leg]]
name = "ledger"
table = "book.ledger"
match = ["account", "day"]
primary_key = "entry_id"
status = "status"
business_time = "booked_at"
[group.leg.columns]
entry_id = "id"
account = "id"
day = "int"
reference = "text?"
amount = "money"
fee = "money?"
currency = "currency"
status = "text"
booked_at = "time"

[[group.leg]]
name = "bank"
table = "bank_line"
match = ["holder", "day"]
primary_key = "line_id"
currency = "USD"
columns = { line_id = "id", holder = "id", day = "int", ref = "text?", value = "money" }
"""


def group_of(rule: str, head: str = HEAD) -> SpecGroup:
    """The group with one more piece of TOML."""
    return read_spec(f"{head}\n{rule}", file="bank.toml").groups[0]


def rule_text(kind: str, **options: Any) -> str:
    """`[[group.rule]]` called `it`, of the class mismatch."""
    lines = ["[[group.rule]]", 'name = "it"', f'kind = "{kind}"', 'class = "mismatch"']
    given = {"detail": "told", **{key.rstrip("_"): value for key, value in options.items()}}
    return "\n".join([*lines, *(f"{key} = {toml(value)}" for key, value in given.items())])


def toml(value: Any) -> str:
    """A text, or a list or table of texts, as TOML has it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return f"'''{value}'''"


def put(books: GroupBooks, group: SpecGroup, leg: str, *values: Any, source: str = "a", commit_us: int = 0) -> None:
    """One live row; the first columns are its primary key."""
    known = next(one for one in group.legs if one.name == leg)
    row = known.row_type._make(values)
    primary = (known.table.primary_key, *known.table.also_primary)
    places = [known.table.place(name) for name in primary]
    key = row[places[0]] if len(places) == 1 else repr([row[place] for place in places])
    books.legs[leg][source, key] = Register(source, key, 1, commit_us, commit_us, False, row, 0, 0)


def books_of(group: SpecGroup, rows: dict[str, list[tuple[Any, ...]]], marks: list[Mark] | None = None) -> GroupBooks:
    """Books that hold these rows; each row's commit time is its place in its list, in seconds."""
    books = GroupBooks(KEY, [leg.name for leg in group.legs])
    books.newest_us = NEWEST_US
    books.marks = marks or []
    for leg, values in rows.items():
        for number, row in enumerate(values):
            put(books, group, leg, *row, commit_us=number * SECOND_US)
    return books


def judged(rule: str, rows: dict[str, list[tuple[Any, ...]]], marks: list[Mark] | None = None) -> list[Finding]:
    """The findings of one rule about these rows."""
    group = group_of(rule)
    return group.judge(books_of(group, rows, marks), TOLERANCES)


def ids(findings: list[Finding]) -> list[Any]:
    """The entities, in order."""
    return [one.entity_id for one in findings]


AMOUNTS = st.integers(-3, 3).map(lambda number: number * 100) | st.integers(-500, 500)
REFERENCES = st.sampled_from(("r1", "r2", "r3", None))
STATUSES = st.sampled_from(("new", "held", "done"))
CURRENCIES = st.sampled_from(("USD", "USD", "USD", "JPY"))
TIMES = st.integers(0, 90).map(lambda seconds: seconds * SECOND_US)


def _numbered(rows: st.SearchStrategy[tuple[Any, ...]], size: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Rows under ids that differ, numbers and texts among them, in any order."""
    some = st.lists(rows, max_size=size)
    names = st.permutations((1, 2, 10, "a", "b"))
    return st.tuples(some, names).map(lambda made: [(name, *row) for row, name in zip(*made, strict=False)])


DAY_ROWS = st.lists(
    st.tuples(st.just("acme"), st.just(7), CURRENCIES, AMOUNTS, STATUSES, st.none() | TIMES), max_size=1
)
LEDGER_ROWS = _numbered(
    st.tuples(st.just("acme"), st.just(7), REFERENCES, AMOUNTS, st.none() | AMOUNTS, CURRENCIES, STATUSES, TIMES), 4
)
BANK_ROWS = _numbered(st.tuples(st.just("acme"), st.just(7), REFERENCES, AMOUNTS), 4)
ROWS = st.fixed_dictionaries({"day": DAY_ROWS, "ledger": LEDGER_ROWS, "bank": BANK_ROWS})
