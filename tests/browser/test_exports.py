"""Exports: begun from the list, watched, fetched and read back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pyarrow.parquet
import pytest
from playwright.sync_api import expect

from tests.browser.books import wrong_orders
from tests.browser.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

CASES = 3


def csv_rows(path: Path) -> int:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return len(list(csv.DictReader(file)))


def xlsx_rows(path: Path) -> int:
    with ZipFile(path) as book:
        return book.read("xl/worksheets/sheet1.xml").count(b"<row ") - 1


def parquet_rows(path: Path) -> int:
    return int(pyarrow.parquet.read_table(path).num_rows)


@pytest.mark.parametrize(("kind", "rows"), [("csv", csv_rows), ("xlsx", xlsx_rows), ("parquet", parquet_rows)])
def test_what_matches_is_in_the_file(site: Site, tmp_path: Path, kind: str, rows: Callable[[Path], int]) -> None:
    (wrong, *_) = wrong_orders(site, CASES)
    with site.visit("vera") as visit:
        page = visit.open(wrong.list_path)
        page.get_by_label("Format").select_option(kind)
        page.get_by_role("button", name="Export all that match").click()
        expect(page.locator("#export")).to_contain_text(f"{CASES} rows are written.")
        with page.expect_download() as download:
            page.get_by_role("link", name="Fetch the file").click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        download.value.save_as(tmp_path / kind)
    assert rows(tmp_path / kind) == CASES
