"""Corrected files: they replace exactly their former version, and an interrupted load is finished with the same messages."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cdc.files.mapping_file import read_mapping
from cdc.files.refusals import FileRefused
from cdc.files.store import STORE_FILE, FileStore
from tests.file_desk import DAILY, messages, stage
from trueup.model.errors import UnavailableError

KIND = read_mapping(DAILY, file="daily.toml")


def day(directory: Path, name: str, **amounts: str) -> Path:
    rows = "".join(f"{reference},{amount},JPY\n" for reference, amount in amounts.items())
    total = sum(int(amount) for amount in amounts.values())
    path = directory / name
    path.write_text(f"reference,amount,currency\n{rows}END,{len(amounts)},{total},JPY\n")
    return path


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / STORE_FILE)


def load(store: FileStore, path: Path, *, again: bool = False) -> list[tuple[str, str, str | None, str | None]]:
    """(op, reference, amount before, amount after) of what is sent."""
    staged = stage(store, path, KIND, again=again)
    told = []
    for key, value in messages(store, staged):
        sent = orjson.loads(value)
        before, after = ((sent[side] or {}).get("amount") for side in ("before", "after"))
        told.append((sent["op"], orjson.loads(key)["reference"], before, after))
    store.finish(staged)
    return told


def test_a_corrected_file_replaces_its_former_version(tmp_path: Path, store: FileStore) -> None:
    assert load(store, day(tmp_path, "day_1.csv", A="1", B="2", C="3")) == [
        ("c", "A", None, "1"), ("c", "B", None, "2"), ("c", "C", None, "3"),
    ]  # fmt: skip
    assert load(store, day(tmp_path, "day_1_v2.csv", A="1", B="20", D="4")) == [
        ("u", "B", "2", "20"), ("c", "D", None, "4"), ("d", "C", "3", None),
    ]  # fmt: skip
    assert [(one.file_name, one.state) for one in store.loads()] == [
        ("day_1.csv", "replaced"), ("day_1_v2.csv", "loaded"),
    ]  # fmt: skip
    assert load(store, day(tmp_path, "day_1_v3.csv", D="4")) == [("d", "A", "1", None), ("d", "B", "20", None)]


def test_the_same_content_is_refused(tmp_path: Path, store: FileStore) -> None:
    load(store, day(tmp_path, "day_1.csv", A="1"))
    for name in ("day_1.csv", "day_1_v2.csv", "day_2.csv"):
        with pytest.raises(FileRefused, match=r"is loaded already: day_1\.csv"):
            stage(store, day(tmp_path, name, A="1"), KIND)
    load(store, day(tmp_path, "day_1.csv", A="2"))
    former = day(tmp_path, "day_1.csv", A="1")
    with pytest.raises(FileRefused, match="has been replaced since"):
        stage(store, former, KIND)
    assert load(store, former, again=True) == [("u", "A", "2", "1")]


def test_two_files_do_not_share_a_row(tmp_path: Path, store: FileStore) -> None:
    load(store, day(tmp_path, "day_1.csv", A="1", B="2"))
    with pytest.raises(FileRefused, match=r"day_1\.csv holds a row of the same key") as refused:
        stage(store, day(tmp_path, "day_2.csv", C="1", B="2"), KIND)
    assert [problem.line for problem in refused.value.problems] == [3]
    assert len(store.loads()) == 1


def test_a_load_that_was_cut_off_is_finished_with_the_same_messages(tmp_path: Path, store: FileStore) -> None:
    load(store, day(tmp_path, "day_1.csv", A="1", B="2"))
    staged = stage(store, day(tmp_path, "day_1_v2.csv", B="3", C="4"), KIND)
    first = messages(store, staged)
    store.close()
    again = FileStore(tmp_path / STORE_FILE)
    (begun,) = [one for one in again.loads() if one.state == "sending"]
    assert messages(again, begun) == first
    again.finish(begun)
    assert [one.state for one in again.loads()] == ["replaced", "loaded"]


def test_versions_grow_with_every_load(tmp_path: Path, store: FileStore) -> None:
    versions = []
    for amount in ("1", "2", "3"):
        staged = stage(store, day(tmp_path, f"day_1_v{amount}.csv", A=amount), KIND)
        versions += [orjson.loads(value)["source"]["lsn"] for _, value in messages(store, staged)]
        store.finish(staged)
    assert versions == sorted(set(versions))
    assert versions[-1] < 2**63


def test_one_file_at_a_time(tmp_path: Path, store: FileStore) -> None:
    other = FileStore(tmp_path / STORE_FILE)
    with store.alone(), pytest.raises(UnavailableError, match="another file"), other.alone():
        pass
    with other.alone():
        assert other.loads() == []
