"""What is read back of an export equals what went in, and no text in it is a formula."""

from __future__ import annotations

import csv
import io
import re
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashboards.exports.formats import (
    BOM,
    CELL_CHARS_MAX,
    FORMATS,
    NUMBER_DIGITS_MAX,
    Format,
    write_csv,
    write_rows,
    write_xlsx,
)

Row = tuple[Any, ...]
SCHEMA = pa.schema(
    [("text", pa.string()), ("amount", pa.decimal128(38, 4)), ("at", pa.timestamp("us", tz="UTC")), ("n", pa.int64())]
)
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "=cmd|' /C calc'!A0", "\n=1")
# What XML and terminals cannot hold at all is not in the books either.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=30)
AMOUNTS = st.decimals(-(10**33), 10**33, places=4)
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS | st.sampled_from(FORMULAS), st.none() | AMOUNTS, st.none() | TIMES, st.integers(0, 10**12)
    ),
    max_size=12,
)


def batches(rows: Sequence[Row], size: int = 5) -> list[pa.RecordBatch]:
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    return [
        pa.RecordBatch.from_arrays(
            [pa.array([row[number] for row in part], field.type) for number, field in enumerate(SCHEMA)], schema=SCHEMA
        )
        for part in parts
    ]


def written(rows: Sequence[Row], kind: Format) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        told: list[int] = []
        assert write_rows(path, kind, SCHEMA, batches(rows), told.append) == len(rows)
        assert told == sorted(told)
        assert (told or [0])[-1] == len(rows)
        assert [each.name for each in Path(folder).iterdir()] == ["export"]
        return path.read_bytes()


@example(rows=[(text, Decimal("-0.0001"), None, 1) for text in FORMULAS])
@given(rows=ROWS)
@settings(max_examples=60)
def test_csv_reads_back(rows: list[Row]) -> None:
    content = written(rows, "csv")
    assert content.startswith(BOM)
    head, *read = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert head == SCHEMA.names
    for (text, amount, at, number), cells in zip(rows, read, strict=True):
        assert cells[0].removeprefix("'") == (text or "").removeprefix("'")
        assert not re.match(r"\s*[=+\-@＝＋－＠]|[\t\r\n]", cells[0])
        assert (Decimal(cells[1]) if cells[1] else None) == amount
        assert (datetime.fromisoformat(cells[2]) if cells[2] else None) == at
        assert int(cells[3]) == number


@given(rows=ROWS)
@settings(max_examples=40)
def test_parquet_reads_back(rows: list[Row]) -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(written(rows, "parquet")))
    assert table.schema.equals(SCHEMA)
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@example(rows=[(text, Decimal("123456789012.3456"), None, 1) for text in FORMULAS])
@given(rows=ROWS)
@settings(max_examples=40)
def test_xlsx_reads_back_and_holds_no_formula(rows: list[Row]) -> None:
    (sheet,) = sheets(written(rows, "xlsx"))
    assert sheet[0] == ["text", "amount", "at (UTC)", "n"]
    for (text, amount, at, number), cells in zip(rows, sheet[1:], strict=True):
        assert (cells[0] or "") == (text or "")
        assert (None if cells[1] is None else rounded(cells[1])) == amount
        assert (cells[2] is None) == (at is None)
        if at is not None:
            days = timedelta(days=float(cells[2]))
            assert abs(datetime(1899, 12, 30, tzinfo=UTC) + days - at) < timedelta(milliseconds=2)
        assert int(float(cells[3])) == number


def rounded(text: str) -> Decimal:
    """A number as Excel shows it: 15 significant digits; a text is what it is."""
    amount = Decimal(text)
    if "E" not in text.upper() and "." in text and len(text.partition(".")[2]) <= 4:
        return amount
    return Decimal(f"{amount:.{NUMBER_DIGITS_MAX}g}")


def sheets(content: bytes) -> list[list[list[Any]]]:
    """The cells of every sheet, as texts; no cell may be a formula."""
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    found = []
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        for part in sorted(each for each in book.namelist() if each.startswith("xl/worksheets/sheet")):
            root = ElementTree.fromstring(book.read(part))  # noqa: S314 - written by the test
            assert root.find(f".//{name}f") is None
            rows = []
            for row in root.iter(f"{name}row"):
                cells: list[Any] = [None] * len(SCHEMA)
                for cell in row:
                    place = ord(cell.get("r", "A")[0]) - ord("A")
                    inline, value = cell.find(f"{name}is/{name}t"), cell.find(f"{name}v")
                    cells[place] = (
                        unescaped(inline.text or "") if inline is not None else value.text if value is not None else ""
                    )
                rows.append(cells)
            found.append(rows)
    return found


def unescaped(text: str) -> str:
    """ECMA-376: `_xHHHH_` stands for a character that XML would change."""
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)


def test_a_sheet_that_is_full_goes_on_in_the_next(tmp_path: Path) -> None:
    rows = [(str(number), None, None, number) for number in range(7)]
    assert write_xlsx(tmp_path / "x", SCHEMA, batches(rows), lambda _: None, sheet_rows=4) == 7
    found = sheets((tmp_path / "x").read_bytes())
    assert [len(sheet) for sheet in found] == [4, 4, 2]
    assert all(sheet[0][0] == "text" for sheet in found)
    assert [row[0] for sheet in found for row in sheet[1:]] == [str(number) for number in range(7)]


def test_a_cell_that_is_too_long_says_so(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "x", SCHEMA, batches([("a" * 40_000, None, None, 1)]), lambda _: None)
    (sheet,) = sheets((tmp_path / "x").read_bytes())
    assert len(sheet[1][0]) == CELL_CHARS_MAX
    assert sheet[1][0].endswith("…")


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_a_file_with_a_head(kind: Format) -> None:
    assert written([], kind)


def test_an_apostrophe_is_the_only_thing_added(tmp_path: Path) -> None:
    write_csv(tmp_path / "x", SCHEMA, batches([("=1", None, None, 1), ("a=1", None, None, 2)]), lambda _: None)
    lines = (tmp_path / "x").read_bytes().removeprefix(BOM).decode().splitlines()
    assert lines[1:] == ['"\'=1",,,1', '"a=1",,,2']
