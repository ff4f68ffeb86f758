"""The connector's configuration: what the shipped file says, what settings change in it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from cdc.connector_config import config_faults, connector_config, connector_name
from cdc.source_tables import settlement_tables
from trueup.settings import ConnectSettings, KafkaSettings, Settings, SourceSettings

SHIPPED: dict[str, str] = orjson.loads(Path("cdc/connectors/postgres.json").read_bytes())
TABLES = settlement_tables("public")


def test_the_shipped_file_is_what_the_settings_of_the_containers_make() -> None:
    settings = Settings(source=SourceSettings(host="postgres", reader="debezium"))
    assert connector_config(settings, TABLES) == SHIPPED
    assert config_faults(SHIPPED, SHIPPED, "here") == []
    assert connector_name(settings) == "settlement"


def test_the_shipped_file_for_mysql_is_what_the_settings_make_too() -> None:
    shipped: dict[str, str] = orjson.loads(Path("cdc/connectors/mysql.json").read_bytes())
    source = SourceSettings(kind="mysql", host="mysql", user="trueup", reader="debezium")
    connect = ConnectSettings(password="${secrets:/run/secrets:mysql-password}")
    settings = Settings(source=source, connect=connect, kafka=KafkaSettings(bootstrap="kafka:19092"))
    config = connector_config(settings, settlement_tables("settlement"))
    assert config == shipped
    assert config_faults(shipped, shipped, "here") == []
    (fault,) = config_faults({**shipped, "database.include.list": "other"}, shipped, "here")
    assert fault.what == "database.include.list is 'other', but the settings say 'settlement'"


def test_settings_decide_place_names_and_tables() -> None:
    source = SourceSettings(name="shop", host="db", port=6000, database="books", schema_name="s", slot="one")
    settings = Settings(source=source, connect=ConnectSettings(connector="c", password="${file:/x:y}"))
    config = connector_config(settings, settlement_tables("s"))
    assert config["database.hostname"] == "db"
    assert config["database.password"] == "${file:/x:y}"
    assert config["topic.prefix"] == "shop"
    assert config["slot.name"] == "one"
    assert "s.orders:order_id;" in config["message.key.columns"]
    assert connector_name(settings) == "c"


def test_a_password_cannot_be_set_in_the_open() -> None:
    with pytest.raises(ValueError, match="password"):
        ConnectSettings(password="open")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("decimal.handling.mode", "double", "loses cents"),
        ("tombstones.on.delete", "true", "one key has many rows"),
        ("lsn.flush.mode", "connector_and_driver", "has not acknowledged"),
        ("heartbeat.interval.ms", "0", "time stand still"),
        ("skipped.operations", "c,t", "leaves out c, t"),
        ("message.key.columns", "public.orders:shop_id", "does not key public.orders, public.billing_item"),
        ("topic.prefix", "other", "but the settings say 'settlement'"),
        ("slot.name", "other", "but the settings say 'trueup'"),
    ],
)
def test_what_would_lose_or_misplace_changes_is_refused(name: str, value: str, told: str) -> None:
    (fault,) = config_faults({**SHIPPED, name: value}, SHIPPED, "here")
    assert told in f"{fault.what} {fault.remedy}"
    assert fault.where == "here"


def test_what_is_left_out_counts_as_debezium_takes_it() -> None:
    bare = {"topic.prefix": "settlement", "database.dbname": "settlement"}
    wrong = {fault.what.split()[0] for fault in config_faults(bare, SHIPPED, "here")}
    assert wrong == {
        "tombstones.on.delete",
        "slot.name",
        "heartbeat.interval.ms",
        "skipped.operations",
        "message.key.columns",
    }
