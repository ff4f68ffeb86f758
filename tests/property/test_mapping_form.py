"""Corrections survive the fields of the form and the address; bytes are shown without an error, whatever they are."""

from __future__ import annotations

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from cdc.mapping import Drop, Rename, Replace, SetValue, Step, encode_mapping
from dashboards.pages.bytes_view import HEX_BYTES_MAX, TEXT_CHARS_MAX, hex_lines, text_lines
from dashboards.pages.mapping_form import in_words, lines_of, lines_query, read_lines, steps_of

# A field's name is taken without the blanks around it, as a person types it.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
STEPS = st.one_of(
    st.builds(Rename, NAMES, NAMES),
    st.builds(SetValue, NAMES, SCALARS),
    st.builds(Replace, NAMES, SCALARS, SCALARS),
    st.builds(Drop, NAMES),
)


@given(st.lists(STEPS, max_size=4))
def test_a_mapping_survives_the_form_and_the_address(steps: list[Step]) -> None:
    pairs = parse_qsl(lines_query(lines_of(steps)), keep_blank_values=True)
    read = steps_of(read_lines(pairs))
    assert encode_mapping(read) == encode_mapping(steps)
    assert all(type(text) is str for step in in_words(steps) for text in step.values())


@given(st.lists(st.tuples(st.sampled_from(["do", "field", "old", "new", "topic"]), st.text(max_size=4)), max_size=12))
def test_rows_without_a_field_are_left_out(pairs: list[tuple[str, str]]) -> None:
    assert all(line.field.strip() for line in read_lines(pairs))


@given(st.binary(max_size=200) | st.binary(min_size=HEX_BYTES_MAX, max_size=HEX_BYTES_MAX + 5))
def test_any_bytes_are_shown(content: bytes) -> None:
    assert text_lines(content).encode() is not None
    shown = hex_lines(content)
    digits = "".join(line[8:56].replace(" ", "") for line in shown.splitlines() if line != "…")
    assert bytes.fromhex(digits) == content[:HEX_BYTES_MAX]
    assert shown.endswith("…") == (len(content) > HEX_BYTES_MAX)


def test_long_texts_are_cut_and_lone_surrogates_escaped() -> None:
    assert text_lines(b'"\\ud800"') == '"\\ud800"'
    assert len(text_lines(b"x" * (TEXT_CHARS_MAX + 10))) == TEXT_CHARS_MAX + 1
