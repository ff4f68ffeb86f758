"""Files of each format: the rows that are expected, and everything that has a file refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cdc.decode import ChangeDecoder
from cdc.files.control import Given
from cdc.files.declared import FileMapping
from cdc.files.mapping_file import read_mapping
from cdc.files.refusals import FileRefused
from cdc.files.store import FileStore
from tests.file_desk import DAILY, DATA, NOTHING_GIVEN, expected_rows, loaded_rows, mapping, messages, stage
from trueup.model.change import Change
from trueup.model.tables import Column, Table

FORMATS = [
    ("wepay_20260723.csv", "wepay", "wepay_20260723"),
    ("LEDGER.260723", "ledger", "ledger"),
    ("bank_20260723.sta", "bank_mt940", "bank_mt940"),
    ("bank_20260723.xml", "bank_camt053", "bank_camt053"),
]


def refused(path: Path, kind: FileMapping, given: Given = NOTHING_GIVEN) -> list[tuple[int, str]]:
    store = FileStore(None)
    with pytest.raises(FileRefused) as error:
        stage(store, path, kind, given)
    assert store.loads() == []
    store.close()
    return [(problem.line, problem.what) for problem in error.value.problems]


def written(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def daily(directory: Path, *lines: str) -> list[tuple[int, str]]:
    text = "reference,amount,currency\n" + "".join(f"{line}\n" for line in lines)
    return refused(written(directory, "day_1.csv", text), read_mapping(DAILY, file="daily.toml"))


@pytest.mark.parametrize(("file", "kind", "expected"), FORMATS)
def test_the_rows_are_those_that_are_expected(file: str, kind: str, expected: str) -> None:
    assert loaded_rows(DATA / file, mapping(kind)) == expected_rows(expected)


@pytest.mark.parametrize(
    ("file", "kind", "old", "new", "told"),
    [
        ("wepay_20260723.csv", "wepay", "80,00", "80,01", "add up to 1154.49, but 1154.50"),
        ("wepay_20260723.csv", "wepay", "END;2", "END;3", "the file has 2 rows in EUR, but its last line says 3"),
        ("LEDGER.260723", "ledger", "000000010005", "000000010006", "add up to 99.99, but 99.98"),
        ("bank_20260723.sta", "bank_mt940", "D80,07", "D80,08", "lead to a balance of 2154.42 EUR"),
        ("bank_20260723.sta", "bank_mt940", ":62F:C260723EUR2154,43\n", "", "no balance :62F:"),
        ("bank_20260723.xml", "bank_camt053", "80.07", "80.08", "lead to a balance of 2154.42 EUR"),
        ("bank_20260723.xml", "bank_camt053", "</Document>", "", "no whole XML document"),
        ("bank_20260723.xml", "bank_camt053", "<Document", '<!DOCTYPE a [<!ENTITY b "c">]>\n<Document', "no whole XML"),
        ("bank_20260723.xml", "bank_camt053", ">BOOK<", ">PDNG<", "entry 1: its status is 'PDNG'"),
    ],
)
def test_a_file_that_says_otherwise_is_refused(
    tmp_path: Path, file: str, kind: str, old: str, new: str, told: str
) -> None:
    read = mapping(kind)
    content = (DATA / file).read_bytes().decode(read.file.encoding)
    assert old in content
    path = written(tmp_path, file, content.replace(old, new).encode(read.file.encoding))
    assert any(told in what for _, what in refused(path, read))


def test_every_bad_line_is_told(tmp_path: Path) -> None:
    assert daily(tmp_path, "A,1.00,EUR", "B,x,EUR", "C,1.00", "D,1.001,EUR", ",1,EUR", "A,2,EUR", "END,1,1.00,EUR") == [
        (3, "amount: 'x' is no amount as the mapping says they are written"),
        (4, "the row has 2 fields instead of 3"),
        (5, "amount: amount 1.001 is finer than the minor unit of EUR (2 digits)"),
        (6, "reference: it is empty"),
        (7, "an earlier row of the file has the same reference"),
    ]
    assert [line for line, _ in daily(tmp_path, "B,x,EUR")] == [2, 0]


def test_a_file_without_its_end_was_cut(tmp_path: Path) -> None:
    assert daily(tmp_path, "A,1.00,EUR") == [
        (0, "the end mark 'END' is missing: the file was cut, or is of another kind")
    ]
    assert daily(tmp_path, "END,1,1.00,EUR", "A,1.00,EUR")[0] == (3, "there is a row after the end")
    assert daily(tmp_path, "A,1.00,EUR", "B,1,JPY", "END,1,1.00,EUR") == [
        (0, "there are rows in JPY, and no line at the end tells their total")
    ]


def test_what_a_person_was_told_is_compared() -> None:
    given = Given(md5="0" * 32, row_count=4, totals={"EUR": "1154.5", "JPY": "1"})
    told = [what for _, what in refused(DATA / "wepay_20260723.csv", mapping("wepay"), given)]
    assert [what.partition(" is ")[0] for what in told[:1]] == ["the MD5 of the file"]
    assert told[1:] == ["the file has 3 rows, but 4 were given", "the amounts in JPY add up to 5000, but 1 was given"]


def test_the_md5_beside_the_file_is_compared(tmp_path: Path) -> None:
    kind = read_mapping(DAILY.replace("[file]", '[file]\nmd5 = "beside"'), file="daily.toml")
    path = written(tmp_path, "day_1.csv", "reference,amount,currency\nA,1.00,EUR\nEND,1,1.00,EUR\n")
    assert "cannot be read" in refused(path, kind)[0][1]
    written(tmp_path, "day_1.csv.md5", f"{'0' * 32}  day_1.csv\n")
    assert "day_1.csv.md5 says 0000" in refused(path, kind)[0][1]
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    written(tmp_path, "day_1.csv.md5", f"{md5.upper()}  day_1.csv\n")
    assert len(loaded_rows(path, kind)) == 1


def test_text_that_is_not_what_the_mapping_says(tmp_path: Path) -> None:
    kind = read_mapping(DAILY, file="daily.toml")
    path = written(tmp_path, "day_1.csv", b"reference,amount,currency\n\xff,1.00,EUR\nEND,1,1.00,EUR\n")
    assert refused(path, kind) == [(2, "the line is no text in utf-8")]
    path = written(tmp_path, "day_1.csv", "ref,amount,currency\nA,1.00,EUR\n")
    assert refused(path, kind)[0] == (1, "the header has no field called 'reference'; it has ref, amount, currency")
    assert "is not one of" in refused(written(tmp_path, "other.csv", ""), kind)[0][1]


def test_workers_read_the_messages() -> None:
    store = FileStore(None)
    load = stage(store, DATA / "wepay_20260723.csv", mapping("wepay"))
    columns = (Column("reference", "text"), Column("amount", "money"), Column("currency", "currency"))
    decoder = ChangeDecoder(Table("settlement", "reference", "reference", columns))
    decoded = [decoder.decode(value, 0, 0) for _, value in messages(store, load)]
    changes = [change for change in decoded if isinstance(change, Change)]
    assert len(changes) == len(decoded)
    store.close()
    assert [change.row for change in changes] == [
        ("W-1", 123_450, "EUR"), ("W-2", -8_000, "EUR"), ("W;3", 5_000, "JPY"),
    ]  # fmt: skip
    assert {change.source for change in changes} == {"wepay"}
    assert [change.version for change in changes] == [load.number << 30 | line for line in (2, 3, 4)]
