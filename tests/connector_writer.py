"""Writes messages as the connectors do, in every mode; shares nothing with the code that reads them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from trueup.model.tables import Table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS = {"USD": 2, "JPY": 0, "KWD": 3}
SCALE = 4
"""Digits behind the point of the money columns, NUMERIC(38,4)."""


@dataclass(frozen=True)
class Mode:
    """How a connector is set up.

    `schema` is none, first or last; `decimals` string, precise or variable; `times` micros, millis, nanos, connect or iso;
    `connector` postgresql, mysql, mariadb or TiCDC; `flat` "" for whole envelopes, else what stands before the names of the
    source's fields that were added.
    """

    schema: str = "none"
    decimals: str = "string"
    times: str = "micros"
    connector: str = "postgresql"
    flat: str | None = None
    has_before: bool = True


def position(connector: str, number: int) -> tuple[dict[str, Any], int]:
    """The fields of a source block that say where a change stands, and the version that they mean."""
    if connector == "postgresql":
        return {"lsn": number, "sequence": f'["{number - 1}","{number}"]', "txId": 7, "xmin": None}, number
    if connector == "TiCDC":
        empty: dict[str, Any] = {
            "server_id": 0,
            "gtid": None,
            "file": "",
            "pos": 0,
            "row": 0,
            "thread": 0,
            "query": None,
        }
        return {**empty, "commit_ts": number << 18, "cluster_id": "default"}, number << 18
    gtid = "0-1-42" if connector == "mariadb" else "3e11fa47-71ca-11e1-9e33-c80aa9429562:23"
    place: dict[str, Any] = {
        "server_id": 1,
        "gtid": gtid,
        "file": "binlog.000012",
        "pos": number,
        "row": 3,
        "thread": 9,
        "query": None,
    }
    return place, (12 << 32 | number) << 14 | 3


def message(table: Table, row: dict[str, Any], operation: str, number: int, commit_us: int, mode: Mode) -> bytes:
    """One change of a row given as values in the units of the books (minor units, µs, days)."""
    image = {column.name: _value(row, column.name, column.kind, mode) for column in table.columns}
    image["not_ours"] = {"any": 1}
    fields, _version = position(mode.connector, number)
    source: dict[str, Any] = {
        "version": "3.4",
        "connector": mode.connector,
        "name": "settlement",
        "snapshot": "false",
        "db": "d",
    }
    source |= {"schema": "public", "table": table.name, "ts_ms": commit_us // 1000, **fields}
    if mode.connector != "TiCDC":
        source |= {"ts_us": commit_us, "ts_ns": commit_us * 1000}
    transaction = {"id": "571:53195829", "total_order": 1, "data_collection_order": 1}
    payload: dict[str, Any] = {"before": None, "after": image, "source": source, "transaction": transaction}
    if operation == "d":
        payload |= {"before": image, "after": None}
    elif operation == "u" and mode.has_before:
        payload["before"] = image
    payload |= {"op": operation, "ts_ms": 1, "ts_us": 1000, "ts_ns": 1000000}
    inner = [_field(column.name, column.kind, mode) for column in table.columns]
    struct = {"type": "struct", "fields": inner, "optional": True, "name": "x.Value"}
    schema: dict[str, Any] = {"type": "struct", "name": "x.Envelope"}
    schema["fields"] = [{**struct, "field": "before"}, {**struct, "field": "after"}, {"type": "string", "field": "op"}]
    if mode.flat is not None:
        added = {f"__{mode.flat}{name}": value for name, value in source.items()}
        payload = {**image, "__op": operation, **added, "__deleted": "true" if operation == "d" else "false"}
        schema = struct
    if mode.schema == "none":
        return orjson.dumps(payload)
    parts = {"schema": schema, "payload": payload}
    return orjson.dumps(parts if mode.schema == "first" else dict(reversed(parts.items())))


def _value(row: dict[str, Any], name: str, kind: str, mode: Mode) -> Any:
    value = row[name]
    if value is None:
        return None
    if kind == "money":
        return _amount(Decimal(value).scaleb(-DIGITS[row["currency"]]), mode)
    if kind == "time":
        moment = EPOCH + timedelta(microseconds=value)
        text = moment.isoformat().replace("+00:00", "Z")
        forms: dict[str, Any] = {"micros": value, "nanos": value * 1000, "iso": text}
        return forms.get(mode.times, value // 1000)
    if kind == "date" and mode.times == "iso":
        return f"{(EPOCH + timedelta(days=value)).date().isoformat()}Z"
    return value


def _amount(amount: Decimal, mode: Mode) -> Any:
    exact = amount.quantize(Decimal(1).scaleb(-SCALE))
    if mode.decimals == "string":
        return str(exact)
    unscaled = int(exact.scaleb(SCALE))
    raw = base64.b64encode(unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)).decode()
    return raw if mode.decimals == "precise" else {"scale": SCALE, "value": raw}


def _field(name: str, kind: str, mode: Mode) -> dict[str, Any]:
    if kind == "money":
        forms: dict[str, dict[str, Any]] = {
            "string": {"type": "string"},
            "precise": {
                "type": "bytes",
                "name": "org.apache.kafka.connect.data.Decimal",
                "version": 1,
                "parameters": {"scale": str(SCALE), "connect.decimal.precision": "38"},
            },
            "variable": {"type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
        }
        return {**forms[mode.decimals], "optional": False, "field": name}
    names = {
        "micros": ("io.debezium.time.MicroTimestamp", "io.debezium.time.Date"),
        "millis": ("io.debezium.time.Timestamp", "io.debezium.time.Date"),
        "nanos": ("io.debezium.time.NanoTimestamp", "io.debezium.time.Date"),
        "connect": ("org.apache.kafka.connect.data.Timestamp", "org.apache.kafka.connect.data.Date"),
        "iso": ("io.debezium.time.IsoTimestamp", "io.debezium.time.IsoDate"),
    }[mode.times]
    is_text = mode.times == "iso"
    if kind == "time":
        return {"type": "string" if is_text else "int64", "name": names[0], "field": name}
    if kind == "date":
        return {"type": "string" if is_text else "int32", "name": names[1], "field": name}
    return {"type": "int64" if kind in {"id", "int"} else "string", "optional": True, "field": name}
