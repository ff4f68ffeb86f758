"""A MySQL or MariaDB source without a server: settings, columns, what errors mean, and envelopes that the decoder reads."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pymysql
import pytest

from cdc.decode import ChangeDecoder
from cdc.mysql_columns import MysqlColumn, catalogue_column
from cdc.mysql_envelope import BinlogEnvelopes, Identity, Place, Stamp, truncation
from cdc.mysql_fitting import misfit
from cdc.mysql_source import refusal
from cdc.mysql_state import ReadMark, check_order
from cdc.mysql_values import Odd
from cdc.replica_id import replica_id
from cdc.source_tables import settlement_tables
from trueup.model.errors import ConfigurationError, InvalidRecord, UnavailableError
from trueup.model.tables import ORDERS
from trueup.settings import SourceSettings

TABLE = settlement_tables("books")[0]
IDENTITY = Identity("1", "mariadb", "site-a")
STAMP = Stamp(1_774_960_496_000_000, 1, "0-1-7")
PLACE = Place("binlog.000003", 400, 2)
TYPES = {"id": "int", "money": "decimal", "time": "datetime", "json": "text"}
COLUMNS = tuple(
    MysqlColumn(column.name, TYPES.get(column.kind, "text"), column.nullable, 6 if column.kind == "time" else 0)
    for column in ORDERS.columns
)
MOMENT = datetime.fromisoformat("2026-03-31 12:34:56.000001")
ROW: list[object] = [7, 1, "EUR", Decimal("12.5000"), Decimal("1.0000"), Decimal(0), None, "paid", None, MOMENT]


def decoded(event: tuple[bytes, bytes]) -> Any:
    return ChangeDecoder(ORDERS).decode(event[1], 0, 0)


def test_a_source_of_mysql_has_its_own_port_and_its_database_for_a_schema() -> None:
    source = SourceSettings.model_validate({"kind": "mysql", "database": "books"})
    assert (source.port, source.schema_name) == (3306, "books")
    assert SourceSettings().schema_name == "public"


def test_the_id_among_replicas_follows_from_the_name_unless_it_is_set() -> None:
    one, other = (replica_id(SourceSettings(name=name)) for name in ("one", "other"))
    assert one != other
    assert {0 < number < 2**32 for number in (one, other)} == {True}
    assert replica_id(SourceSettings(server_id=9)) == 9


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pymysql.OperationalError(1045, "Access denied"), ConfigurationError),
        (pymysql.OperationalError(2003, "Can't connect"), UnavailableError),
        (pymysql.InterfaceError(), UnavailableError),
        (ConnectionResetError(104, "reset"), UnavailableError),
    ],
)
def test_what_nobody_can_mend_by_waiting_is_told_apart(error: Exception, kind: type[Exception]) -> None:
    assert type(refusal(error, SourceSettings())) is kind


def test_the_catalogue_tells_labels_and_sizes() -> None:
    row = {"COLUMN_NAME": "c", "IS_NULLABLE": "NO", "DATETIME_PRECISION": 3, "NUMERIC_PRECISION": 5, "COLUMN_TYPE": ""}
    row["COLUMN_TYPE"] = "enum('a','it''s','c,d')"
    assert catalogue_column({**row, "DATA_TYPE": "enum"}).labels == ("a", "it's", "c,d")
    assert catalogue_column({**row, "DATA_TYPE": "timestamp"}) == MysqlColumn("c", "timestamp", False, 3)
    assert catalogue_column({**row, "DATA_TYPE": "bit"}).size == 5
    assert catalogue_column({**row, "DATA_TYPE": "inet6"}).type == "inet6"


def test_what_a_table_lacks_is_named() -> None:
    assert misfit(TABLE, COLUMNS) is None
    assert misfit(TABLE, (*COLUMNS, MysqlColumn("more", "inet6", True))) is None
    lacking = misfit(TABLE, COLUMNS[1:])
    retyped = misfit(TABLE, (COLUMNS[0]._replace(type="double"), *COLUMNS[1:]))
    unnamed = misfit(TABLE, tuple(column._replace(name="") for column in COLUMNS))
    assert lacking is not None
    assert "order_id" in lacking.what
    assert retyped is not None
    assert "order_id (double) as id" in retyped.what
    assert unnamed is not None
    assert "binlog_row_metadata" in unnamed.what


def test_the_decoder_reads_what_the_binlog_said() -> None:
    made = BinlogEnvelopes(IDENTITY, TABLE, COLUMNS)
    (event,) = made.insert(ROW, PLACE, STAMP, 0)
    change = decoded(event)
    assert event[0] == b'{"order_id":7}'
    assert (change.source, change.version, change.commit_us) == ("site-a", PLACE.version, STAMP.commit_us)
    assert change.row[:6] == (7, 1, "EUR", 1250, 100, 0)
    assert change.row[-1] == 1_774_960_496_000_001
    (gone,) = made.delete(ROW, PLACE, STAMP, 0)
    assert decoded(gone).deleted
    said = orjson.loads(event[1])["source"]
    assert (said["connector"], said["db"], said["gtid"], said["row"]) == ("mariadb", "books", "0-1-7", 2)


def test_a_moved_row_takes_two_places() -> None:
    made = BinlogEnvelopes(IDENTITY, TABLE, COLUMNS)
    gone, come = made.update(ROW, [8, *ROW[1:]], PLACE, STAMP, 0)
    assert (gone[0], come[0]) == (b'{"order_id":7}', b'{"order_id":8}')
    # The decoder puts every deletion just before its record.
    assert PLACE.version - 1 == decoded(gone).version < decoded(come).version
    assert len(made.update(ROW, [7, 2, *ROW[2:]], PLACE, STAMP, 0)) == 1


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        (0, None, "missing-key"),
        (9, Odd.ZERO_DATE, "zero-date"),
        (3, Odd.ABSENT, "no-before-image"),
        (3, "12.5", "malformed-row"),
    ],
)
def test_a_row_that_cannot_be_told_exactly_says_why(column: int, value: object, code: str) -> None:
    row = [*ROW[:column], value, *ROW[column + 1 :]]
    with pytest.raises(InvalidRecord) as refused:
        BinlogEnvelopes(IDENTITY, TABLE, COLUMNS).insert(row, PLACE, STAMP, 0)
    assert refused.value.code == code


def test_a_zero_date_where_null_may_be_is_null() -> None:
    row = [*ROW[:8], Odd.ZERO_DATE, ROW[9]]
    (event,) = BinlogEnvelopes(IDENTITY, TABLE, COLUMNS).insert(row, PLACE, STAMP, 0)
    assert orjson.loads(event[1])["after"]["completed_at"] is None


def test_a_truncation_has_a_place_and_no_row() -> None:
    said = orjson.loads(truncation(IDENTITY, TABLE, PLACE, STAMP, 5))
    assert (said["op"], said["before"], said["after"]) == ("t", None, None)
    assert (said["source"]["file"], said["source"]["pos"], said["ts_us"]) == ("binlog.000003", 400, 5)


def test_a_binlog_that_begins_anew_is_refused_with_the_number_to_go_on_from() -> None:
    mark = ReadMark("", "binlog.000007", 900, {}, ())
    check_order(mark, Place("binlog.000008", 4), SourceSettings())
    with pytest.raises(ConfigurationError, match="RESET MASTER TO 8"):
        check_order(mark, Place("binlog.000001", 2000), SourceSettings())
