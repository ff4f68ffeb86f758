"""Whatever a spec's file holds, it is read, or refused with problems that have a line in it: never a traceback."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconcile.spec.errors import Problem, SpecError
from reconcile.spec.load import read_spec
from tests.spec_books import HEAD, rule_text

SPEC = "\n".join(
    [
        HEAD,
        "[[group.subset]]\nname = 'real'\nleg = 'bank'\nwhere = 'bank.value > net'\ndistinct = ['ref']",
        "[group.define]\nnet = 'day.opening - 1.5'",
        rule_text("presence", leg="ledger", in_="real", on=["reference = ref"], when="ledger.fee / 2 > net"),
        rule_text("sum", leg="day", expected="day.opening", actual="sum(real, real.value)", tolerance="0.1 %").replace("it", "a", 1),
        rule_text("unchanged", leg="ledger", fields=["amount"], while_="ledger.status == 'x'").replace("it", "b", 1),
        rule_text("machine", leg="ledger", steps=["new -> held"]).replace("it", "c", 1),
        rule_text("agree", leg="ledger", with_="bank", on=["reference = ref"], column="day").replace("it", "d", 1),
    ]
)  # fmt: skip
LINES = SPEC.splitlines()
PIECES = st.sampled_from(
    ("", "[", "]]", "'", '"', "x", "=", "0", "-1", "true", "{", "{}", "__import__('os')", "bank.value", "day", "None", "()", "é",
     "import os", "1/0", "any(bank)", "sum(day)", "\\", "#", "'''")
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """The spec with some lines gone, doubled, swapped, or with a piece changed."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        what = draw(st.sampled_from(("gone", "again", "swap", "piece", "value")))
        if what == "gone":
            del lines[at]
        elif what == "again":
            lines.insert(draw(st.integers(0, len(lines) - 1)), line)
        elif what == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], line
        elif what == "value":
            lines[at] = f"{line.partition('=')[0]}= {draw(PIECES)}"
        else:
            start = draw(st.integers(0, len(line)))
            lines[at] = line[:start] + draw(PIECES) + line[draw(st.integers(start, len(line))) :]
    return "\n".join(lines)


def test_the_spec_of_this_test_is_in_order() -> None:
    assert read_spec(SPEC, file="bank.toml").groups[0].name == "days"


def problems_of(text: str) -> list[Problem]:
    """What is wrong with the text; nothing for a spec in order."""
    try:
        read_spec(text, file="bank.toml")
    except SpecError as error:
        return error.problems
    return []


@given(spoilt())
def test_a_spoilt_spec_is_refused_in_words(text: str) -> None:
    for problem in problems_of(text):
        assert 0 < problem.line <= len(text.splitlines()) + 1
        assert problem.what
        assert problem.remedy


@given(st.text(max_size=200))
def test_any_text_is_refused_in_words(text: str) -> None:
    assert problems_of(text)
