"""Checks a file in one pass and keeps its rows: either all of it is right, or it is refused with everything that is wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from cdc.files.camt053 import HashedFile, read_camt053
from cdc.files.cells import RowReader
from cdc.files.control import Control, Given, Trailer
from cdc.files.declared import FileMapping, RawRow
from cdc.files.delimited import read_csv, read_fixed
from cdc.files.mt940_lines import read_mt940
from cdc.files.refusals import PROBLEMS_LISTED_MAX, FileRefused, Problems
from cdc.files.store import LINE_BITS, FileStore, Load, StoredRow
from cdc.files.text_lines import Progress, TextLines, md5_beside
from trueup.model.errors import InvalidRecord
from trueup.model.money import to_text

ROWS_KEPT_AT_ONCE: Final = 5_000
_TEXT_READERS: Final = {"csv": read_csv, "fixed": read_fixed, "mt940": read_mt940}


class Wanted(NamedTuple):
    """What is to be done with a file.

    Args:
        path: of the file.
        mapping: of its kind.
        given: what a person was told about it.
        again: load it even if the same content was loaded before and replaced since.
    """

    path: Path
    mapping: FileMapping
    given: Given = Given()
    again: bool = False


def file_id_of(path: Path, mapping: FileMapping) -> str:
    """The id that a corrected file shares with its former version. Errors: FileRefused where the name tells none."""
    found = re.fullmatch(mapping.file.name, path.name)
    if found is None or not found["id"]:
        problems = Problems()
        problems.add(0, f"the name {path.name} is not one of {mapping.file.name}", "take the mapping of its kind")
        raise FileRefused(str(path), problems)
    return found["id"]


def stage_file(wanted: Wanted, store: FileStore, on_progress: Progress) -> Load:
    """Check a file and keep its rows in the store, in the transaction that is open there.

    Returns:
        The load, in the state `sending`.

    Errors: FileRefused, and then the transaction must be rolled back.
    """
    path, mapping = wanted.path, wanted.mapping
    file_id = file_id_of(path, mapping)
    problems = Problems()
    former = _former(store, mapping, file_id)
    number = store.next_number()
    told_md5 = md5_beside(path, problems) if mapping.file.md5 == "beside" else ""
    control = Control(mapping, problems)
    try:
        md5 = _keep_rows(wanted, RowReader(mapping, file_id), control, store, number, on_progress)
    except OSError as error:
        problems.add(0, f"the file cannot be read: {error.strerror}", "give a readable file")
        raise FileRefused(str(path), problems) from None
    if told_md5 and told_md5 != md5:
        problems.add(0, f"the MD5 of the file is {md5}, but {path.name}.md5 says {told_md5}", "fetch the file again")
    control.compare_given(wanted.given, md5)
    totals = {currency: to_text(total, currency) for currency, total in sorted(control.totals.items()) if currency}
    load = Load(
        number, mapping.channel, mapping.table, file_id, path.name, md5, control.rows.total(),
        orjson.dumps(totals).decode(), former.number if former else None, time.time_ns() // 1000, "sending",
    )  # fmt: skip
    _refuse_known(wanted, store, load, problems)
    if problems.count:
        raise FileRefused(str(path), problems)
    store.note(load)
    return load


def _former(store: FileStore, mapping: FileMapping, file_id: str) -> Load | None:
    """The version of the file that counts now."""
    held = [one for one in store.loads(mapping.topic) if one.file_id == file_id and one.state == "loaded"]
    return held[-1] if held else None


def _keep_rows(
    wanted: Wanted, reader: RowReader, control: Control, store: FileStore, number: int, on_progress: Progress
) -> str:
    """Read, add up and keep every row; the MD5 of the file."""
    mapping, problems = wanted.mapping, control.problems
    source: TextLines | HashedFile
    records: Iterator[RawRow | Trailer]
    if mapping.format == "camt053":
        source = HashedFile(wanted.path, on_progress)
        records = read_camt053(source, mapping, problems)
    else:
        source = TextLines(wanted.path, mapping.file.encoding, problems, on_progress)
        records = iter(_TEXT_READERS[mapping.format](source, mapping, problems))
    trailers: list[Trailer] = []
    held: list[StoredRow] = []
    for record in records:
        if isinstance(record, Trailer):
            trailers.append(record)
            continue
        try:
            converted = reader.read(record)
        except InvalidRecord as error:
            problems.add(record.line, error.what)
            continue
        control.add(converted.currency, converted.amount_minor)
        row = converted.row
        key = orjson.dumps({name: row[name] for name in mapping.key})
        held.append(StoredRow(number << LINE_BITS | record.line, key, orjson.dumps(row)))
        if len(held) >= ROWS_KEPT_AT_ONCE:
            _keep(held, mapping, store, problems)
            held = []
    _keep(held, mapping, store, problems)
    control.compare(trailers)
    return source.md5


def _keep(held: list[StoredRow], mapping: FileMapping, store: FileStore, problems: Problems) -> None:
    for version in store.add_rows(mapping.topic, held) if held else ():
        names = ", ".join(mapping.key)
        problems.add(version & ((1 << LINE_BITS) - 1), f"an earlier row of the file has the same {names}")


def _refuse_known(wanted: Wanted, store: FileStore, load: Load, problems: Problems) -> None:
    """Tell where the file was loaded before, or another file holds its rows."""
    for other in store.loads(load.feed):
        if other.md5 == load.md5 and (other.state == "loaded" or not wanted.again):
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(other.loaded_at_us // 1_000_000))
            was = "is loaded already" if other.state == "loaded" else "was loaded and has been replaced since"
            remedy = "" if other.state == "loaded" else "--again takes it nevertheless"
            problems.add(0, f"the same content {was}: {other.file_name}, {when}", remedy or "there is nothing to do")
            return
    if problems.count:
        return
    names = {other.number: other.file_name for other in store.loads(load.feed)}
    for version, number in store.keys_of_others(load, PROBLEMS_LISTED_MAX):
        line = version & ((1 << LINE_BITS) - 1)
        problems.add(line, f"the file {names[number]} holds a row of the same key", "see `key` of the mapping")
