"""Laws of files: what is written is what is loaded, totals are right to the cent, and a file that was changed is refused."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cdc.files.mapping_file import read_mapping
from cdc.files.refusals import FileRefused
from cdc.files.store import FileStore
from tests.file_desk import DAILY, loaded_rows, messages, stage
from trueup.model.money import to_text

CSV = read_mapping(
    DAILY.replace("[end]", '[csv]\ndelimiter = ";"\n[numbers]\ndecimal = ","\nthousands = "."\n[end]'), file="m"
)
FIXED = read_mapping(
    """
channel = "bank"
table = "lines"
format = "fixed"
key = ["reference"]
[file]
name = '(?P<id>.*)'
[fixed]
length = 40
[end]
mark = "#T"
count = [3, 6]
total = [9, 20]
[columns]
reference = { from = [1, 20] }
amount = { from = [21, 20], kind = "money", implied_digits = 2 }
currency = { value = "EUR", kind = "currency" }
""",
    file="m",
)
LETTERS = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="#")
TABLES = st.dictionaries(
    st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text != "END"),
    st.integers(-(10**15), 10**15),
    max_size=12,
)


def grouped(amount_minor: int) -> str:
    """As 1.234,50."""
    whole, cents = divmod(abs(amount_minor), 100)
    return f"{'-' if amount_minor < 0 else ''}{whole:,}".replace(",", ".") + f",{cents:02}"


def as_csv(rows: dict[str, int]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerow(["reference", "amount", "currency"])
    writer.writerows([reference, grouped(amount), "EUR"] for reference, amount in rows.items())
    writer.writerow(["END", len(rows), grouped(sum(rows.values())), "EUR"])
    return text.getvalue().encode()


def as_fixed(rows: dict[str, int]) -> bytes:
    def cents(amount: int) -> str:
        return f"{amount:020d}"

    lines = [f"{reference:<20}{cents(amount)}\n" for reference, amount in rows.items()]
    return ("".join(lines) + f"#T{len(rows):06d}{cents(sum(rows.values()))}\n").encode()


def expected(rows: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"reference": reference, "amount": to_text(amount, "EUR"), "currency": "EUR"}
        for reference, amount in rows.items()
    ]


@given(TABLES)
@example({'a;"b"': -5, "'": 123_456_789})
def test_what_is_written_is_what_is_loaded(rows: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for kind, content in ((CSV, as_csv(rows)), (FIXED, as_fixed(rows))):
            path = Path(directory) / "day_1.csv"
            path.write_bytes(content)
            assert loaded_rows(path, kind) == expected(rows)


@given(TABLES, st.data())
def test_a_file_that_lost_or_changed_a_line_is_refused(rows: dict[str, int], data: st.DataObject) -> None:
    assume(rows)
    for kind, content in ((CSV, as_csv(rows)), (FIXED, as_fixed(rows))):
        lines = content.splitlines(keepends=True)
        first = 1 if kind is CSV else 0
        place = data.draw(st.integers(first, len(lines) - 1))
        lost = lines[:place] + lines[place + 1 :]
        twice = [*lines[: place + 1], *lines[place:]]
        cut = content[: data.draw(st.integers(0, len(content) - len(lines[-1])))]
        other = dict(rows)
        other[next(iter(rows))] += data.draw(st.sampled_from((-1, 1, 100)))
        of_other = (as_csv if kind is CSV else as_fixed)(other).splitlines(keepends=True)
        for mutated in (b"".join(lost), b"".join(twice), cut, b"".join([*of_other[:-1], lines[-1]])):
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "day_1.csv"
                path.write_bytes(mutated)
                with pytest.raises(FileRefused), contextlib.closing(FileStore(None)) as store:
                    stage(store, path, kind)


@given(st.lists(TABLES, min_size=1, max_size=4))
def test_the_stream_ends_in_the_rows_of_the_last_version(versions: list[dict[str, int]]) -> None:
    held: dict[bytes, tuple[int, Any]] = {}
    store = FileStore(None)
    with tempfile.TemporaryDirectory() as directory:
        for number, rows in enumerate(versions):
            path = Path(directory) / f"day_1_v{number}.csv"
            path.write_bytes(as_csv(rows))
            try:
                load = stage(store, path, CSV, again=True)
            except FileRefused:
                assert rows == versions[number - 1], "the same content, next to each other"
                continue
            for key, value in messages(store, load):
                sent = orjson.loads(value)
                version = sent["source"]["lsn"]
                assert held.get(key, (0, None))[0] < version
                assert held.get(key, (0, None))[1] == sent["before"]
                held[key] = (version, sent["after"])
            store.finish(load)
    store.close()
    live = {row["reference"]: row["amount"] for _, row in held.values() if row is not None}
    assert live == {row["reference"]: row["amount"] for row in expected(versions[-1])}
