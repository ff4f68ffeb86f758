"""Writes batches of rows as CSV, XLSX or Parquet: in bounded memory, with exact amounts, and with no text that a spreadsheet runs.

Texts that a spreadsheet would take for a formula get an apostrophe in front in CSV; XLSX and Parquet have types, so texts stay as
they are. Every writer tells after each batch how many rows are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import xlsxwriter

Format = Literal["csv", "xlsx", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
Told = Callable[[int], None]

BOM: Final = "\N{BYTE ORDER MARK}".encode()
"""Without it Excel reads CSV in the system's old code page."""

FORMULA: Final = r"^(?:\s*[=+\-@＝＋－＠]|[\t\r\n])"
"""Beginnings that some spreadsheet takes for a formula, or cuts off to find one."""

SHEET_ROWS_MAX: Final = 1_048_576
CELL_CHARS_MAX: Final = 32_767
NUMBER_DIGITS_MAX: Final = 15
"""Significant digits that a number of XLSX keeps exactly; an amount with more is written as text."""

_AMOUNT: Final = "#,##0.00##"
_TIME: Final = "yyyy-mm-dd hh:mm:ss.000"
_CSV_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
"""%S has the fraction of a second, as Arrow writes it."""


def write_rows(path: Path, kind: Format, schema: pa.Schema, batches: Iterable[pa.RecordBatch], told: Told) -> int:
    """Write all batches, which have the schema; returns the number of rows."""
    writer = {"csv": write_csv, "xlsx": write_xlsx, "parquet": write_parquet}[kind]
    return writer(path, schema, batches, told)


def write_csv(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], told: Told) -> int:
    """UTF-8 with a byte order mark, times in ISO 8601, amounts as plain decimals."""
    rows = 0
    texts = pa.schema([(field.name, pa.string() if _is_written(field.type) else field.type) for field in schema])
    with path.open("wb") as file:
        file.write(BOM)
        with pyarrow.csv.CSVWriter(file, texts) as writer:
            for batch in batches:
                columns = [_csv_column(column) for column in batch.columns]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=texts))
                rows += batch.num_rows
                told(rows)
    return rows


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], told: Told) -> int:
    """Parquet, compressed by zstd, with the types as they are."""
    rows = 0
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
            told(rows)
    return rows


def write_xlsx(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], told: Told, *, sheet_rows: int = SHEET_ROWS_MAX
) -> int:
    """A workbook; what does not fit one sheet of `sheet_rows` goes on in the next, each with the head. Times are UTC."""
    rows = 0
    book = xlsxwriter.Workbook(
        path, {"constant_memory": True, "tmpdir": str(path.parent), "strings_to_formulas": False,
               "strings_to_urls": False, "strings_to_numbers": False},
    )  # fmt: skip
    styles = {"amount": book.add_format({"num_format": _AMOUNT}), "time": book.add_format({"num_format": _TIME})}
    head = book.add_format({"bold": True})
    names = [f"{field.name} (UTC)" if pa.types.is_timestamp(field.type) else field.name for field in schema]
    sheet, at = _new_sheet(book, names, head), 1
    for batch in batches:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if at == sheet_rows:
                sheet, at = _new_sheet(book, names, head), 1
            for number, value in enumerate(row):
                if value is not None:
                    _write_cell(sheet, at, number, value, styles)
            at += 1
        rows += batch.num_rows
        told(rows)
    book.close()
    return rows


def _new_sheet(book: Any, names: list[str], head: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for number, name in enumerate(names):
        sheet.write_string(0, number, name, head)
    return sheet


def _write_cell(sheet: Any, at: int, number: int, value: object, styles: dict[str, Any]) -> None:
    if isinstance(value, str):
        # A longer text would be left out without a word.
        sheet.write_string(at, number, value if len(value) <= CELL_CHARS_MAX else value[: CELL_CHARS_MAX - 1] + "…")
    elif isinstance(value, Decimal):
        if _digits(value) <= NUMBER_DIGITS_MAX:
            sheet.write_number(at, number, value, styles["amount"])
        else:
            sheet.write_string(at, number, f"{value:f}")
    elif isinstance(value, datetime):
        sheet.write_datetime(at, number, value.astimezone(UTC).replace(tzinfo=None), styles["time"])
    elif isinstance(value, bool | date):
        sheet.write_string(at, number, str(value))
    elif isinstance(value, int):
        sheet.write_number(at, number, value)
    else:
        raise TypeError(f"{type(value).__name__} has no place in a sheet")


def _digits(amount: Decimal) -> int:
    """Significant digits, without the zeros at the end."""
    return len("".join(map(str, amount.as_tuple().digits)).rstrip("0"))


def _is_written(kind: pa.DataType) -> bool:
    """Whether a column is turned to text before it is CSV."""
    return bool(pa.types.is_decimal(kind) or pa.types.is_timestamp(kind))


def _csv_column(column: pa.Array) -> pa.Array:
    if pa.types.is_decimal(column.type):
        return column.cast(pa.string())
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format=_CSV_TIME)
    if pa.types.is_string(column.type):
        is_formula = pc.match_substring_regex(column, FORMULA)
        return pc.if_else(is_formula, pc.binary_join_element_wise("'", column, ""), column)
    return column
