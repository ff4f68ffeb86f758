"""The definitions agree with the source tables, the migrations and the views."""

from __future__ import annotations

import pytest

from clickhouse.case_lists import COMPARED, COPIES, REBUILT_BY_MERGES
from clickhouse.definition import Definition, quoted
from clickhouse.migrate import migrations, parse, pending
from clickhouse.schema import CASE_WIDE, DEFINITIONS, MIRRORS
from clickhouse.views import VIEWS
from trueup.model.errors import ConfigurationError
from trueup.model.tables import TABLES


def statements() -> list[str]:
    return [statement for migration in migrations() for statement in migration.statements]


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda definition: definition.name)
def test_a_migration_creates_every_table_as_it_is_defined(definition: Definition) -> None:
    assert definition.ddl().removesuffix(";\n") in statements()


def test_a_migration_creates_every_view_as_it_is_defined() -> None:
    assert [view.name for view in VIEWS if view.ddl().removesuffix(";\n") not in statements()] == []


def test_a_migration_makes_every_sorted_copy_of_the_cases() -> None:
    made = statements()
    assert [one for copy in COPIES for one in copy.ddl() if one not in made] == []
    assert REBUILT_BY_MERGES in made
    assert set(COMPARED) <= {column.name for column in CASE_WIDE.columns}


def test_every_source_table_has_a_mirror_with_all_its_columns() -> None:
    assert MIRRORS.keys() == TABLES.keys()
    for name, table in TABLES.items():
        mirrored = [column.name for column in MIRRORS[name].columns]
        assert mirrored[: len(table.columns)] == [column.name for column in table.columns]
        assert MIRRORS[name].key == ("source", table.primary_key)


def test_keys_months_and_versions_are_columns() -> None:
    for definition in DEFINITIONS.values():
        names = [column.name for column in definition.columns]
        assert len(names) == len(set(names)), definition.name
        assert {*definition.key, *definition.searched} <= set(names)
        assert {definition.version, definition.month} - {""} <= set(names)


def test_every_column_says_what_it_means() -> None:
    silent = [
        f"{definition.name}.{column.name}"
        for definition in DEFINITIONS.values()
        for column in definition.columns
        if len(column.comment) < 4
    ]
    assert silent == []


def test_views_hide_the_state_and_deleted_rows() -> None:
    for view in VIEWS:
        assert "`state`" not in view.ddl()
        assert "FINAL" in view.ddl()
        assert ("is_deleted = 0" in view.ddl()) == (view.table in MIRRORS.values())


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    migration = parse("0007_more.sql", "-- why; so\nSELECT 'a; b'\n  , 1;\n\nSELECT 2; \n-- end\n")
    assert migration.number == 7
    assert migration.statements == ("SELECT 'a; b'\n  , 1", "SELECT 2")


@pytest.mark.parametrize(("name", "text"), [("more.sql", "SELECT 1;"), ("0001_none.sql", "-- nothing\n")])
def test_a_file_that_is_no_migration_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a migration"):
        parse(name, text)


def test_only_what_is_not_recorded_is_pending() -> None:
    first, second = parse("0001_a.sql", "SELECT 1;"), parse("0002_b.sql", "SELECT 2;")
    assert pending((first, second), {}) == (first, second)
    assert pending((first, second), {1: ("0001_a.sql", first.checksum)}) == (second,)


def test_a_changed_file_and_a_newer_database_are_told() -> None:
    first = parse("0001_a.sql", "SELECT 1;")
    with pytest.raises(ConfigurationError, match="another content"):
        pending((first,), {1: ("0001_a.sql", "0" * 64)})
    with pytest.raises(ConfigurationError, match="does not know"):
        pending((first,), {1: ("0001_a.sql", first.checksum), 2: ("0002_b.sql", "0" * 64)})


def test_literals_are_quoted() -> None:
    assert quoted("it's a \\") == "'it\\'s a \\\\'"
