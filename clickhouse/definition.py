"""What a ClickHouse table is to us: its columns, its key, and the DDL that makes it."""

from __future__ import annotations

from typing import Final, NamedTuple

TIME: Final = "DateTime64(6, 'UTC')"
MONEY: Final = "Decimal(38, 4)"
MINOR: Final = "Decimal(38, 0)"
"""Minor units in SQL: 38 digits hold every amount of a currency with up to four digits behind the point."""
LABEL: Final = "LowCardinality(String)"
LABELS: Final = "Array(String)"
"""Plain strings: sorting and splitting Array(LowCardinality) on insert costs ten times as much (measured)."""

FINAL_SETTINGS: Final = {"do_not_merge_across_partitions_select_final": 1, "optimize_move_to_prewhere_if_final": 1}
"""For every query with FINAL. A row never changes its storage partition; and conditions on its key, which all versions
share, are tested before its other columns are read (ClickHouse moves no others, so no older version comes to light)."""

FINAL_CLAUSE: Final = "SETTINGS " + ", ".join(f"{name} = {value}" for name, value in FINAL_SETTINGS.items())

_CODECS: Final = {TIME: "Delta, ZSTD(1)", "UInt64": "Delta, ZSTD(1)", "String": "ZSTD(1)", MONEY: "ZSTD(1)"}
"""By type, where it pays: times and counters grow along the key; ids and amounts have few distinct bytes."""


_SMALL_BLOCKS: Final = "min_compress_block_size = 4096"
"""For small granules: a block of the usual 64 KiB holds many of them, and all of it is unpacked to read one."""


class ColumnType(NamedTuple):
    """One column: its name, its ClickHouse type, and what it means."""

    name: str
    type: str
    comment: str

    def ddl(self) -> str:
        """The column as a line of CREATE TABLE."""
        inner = (
            self.type.removeprefix("Nullable(").removesuffix(")") if self.type.startswith("Nullable(") else self.type
        )
        codec = _CODECS.get(inner) or ("ZSTD(1)" if inner.startswith("Array(") else "")
        return f"`{self.name}` {self.type}{f' CODEC({codec})' if codec else ''} COMMENT {quoted(self.comment)}"


class Definition(NamedTuple):
    """One ReplacingMergeTree table.

    `key` is the entity key (ORDER BY): the row with the highest `version` column of a key wins, "" when all rows of a
    key are equal. `month` is the PARTITION BY column, which must never change for an entity, or "" for none. `searched`
    columns do not begin the key and carry a bloom filter. `granule_rows` is how many rows are read for one that is looked
    up, 0 for ClickHouse's own 8192.
    """

    name: str
    comment: str
    columns: tuple[ColumnType, ...]
    key: tuple[str, ...]
    version: str = "version"
    month: str = ""
    searched: tuple[str, ...] = ()
    granule_rows: int = 0

    def ddl(self) -> str:
        """CREATE TABLE with the placeholder `{database}`."""
        lines = [column.ddl() for column in self.columns]
        # FINAL reads whatever overlaps a granule that the filter lets pass: each false one may cost many others.
        lines += [f"INDEX by_{name} `{name}` TYPE bloom_filter(0.001) GRANULARITY 1" for name in self.searched]
        month = f"PARTITION BY {self.month}\n" if self.month else ""
        granule = f"SETTINGS index_granularity = {self.granule_rows}, {_SMALL_BLOCKS}\n" if self.granule_rows else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {{database}}.{self.name}\n(\n    "
            + ",\n    ".join(lines)
            + f"\n)\nENGINE = ReplacingMergeTree({self.version})\n{month}ORDER BY ({', '.join(self.key)})\n"
            + f"{granule}COMMENT {quoted(self.comment)};\n"
        )


def quoted(text: str) -> str:
    """A ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
