"""What the tests of files share: a store, and files that are staged, sent into a list and finished, all without Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from cdc.files.checking import Wanted, stage_file
from cdc.files.control import Given
from cdc.files.declared import FileMapping
from cdc.files.loading import Sent, envelope
from cdc.files.mapping_file import load_mapping
from cdc.files.store import FileStore, Load

DATA = Path(__file__).resolve().parent / "data" / "files"

NOTHING_GIVEN = Given()

DAILY = """
channel = "wepay"
table = "lines"
format = "csv"
key = ["reference"]
[file]
name = 'day_(?P<id>[0-9]+)(_v[0-9]+)?[.]csv'
[end]
mark = "END"
count = 2
total = 3
currency = 4
[columns]
reference = { from = "reference" }
amount = { from = "amount", kind = "money" }
currency = { from = "currency", kind = "currency" }
"""


def mapping(name: str) -> FileMapping:
    return load_mapping(DATA / f"{name}.toml")


def expected_rows(name: str) -> Any:
    return orjson.loads((DATA / f"{name}.json").read_bytes())


def stage(
    store: FileStore, path: Path, kind: FileMapping, given: Given = NOTHING_GIVEN, *, again: bool = False
) -> Load:
    with store.all_or_nothing():
        return stage_file(Wanted(path, kind, given, again), store, lambda _: None)


def messages(store: FileStore, load: Load) -> list[tuple[bytes, bytes]]:
    """(key, value) of what a load sends."""
    sent = Sent()
    return [(one.key, envelope(load, one, sent)) for one in store.differences(load)]


def loaded_rows(path: Path, kind: FileMapping) -> list[Any]:
    """The rows of a file that is loaded into an empty store."""
    store = FileStore(None)
    load = stage(store, path, kind)
    rows = [orjson.loads(value)["after"] for _, value in messages(store, load)]
    store.close()
    return rows
