"""The least privileges that the documentation names, TLS with certificates checked, and passwords from files."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from cdc.postgres_source import connect
from cdc.source_check import NeededTable, check_source
from cdc.source_tables import settlement_tables
from tests.integration.cdc_stack import Reader, Source, Stack, reading, running_stack, wait_until
from tests.integration.certificates import Pair, certificate, write_pair
from tests.integration.tls_front import tls_front
from trueup.model.errors import ConfigurationError
from trueup.model.tables import TABLES
from trueup.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(800)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("access")) as stack:
        yield stack


def server_context(directory: Path, authority: Pair, root: str) -> ssl.SSLContext:
    """Of a server that takes clients with a certificate of the authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(directory, "server", certificate("server", authority)))
    context.load_verify_locations(root)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def documented_statements() -> list[str]:
    """The SQL of docs/cdc.md that sets up a source."""
    section = (
        (ROOT / "docs" / "cdc.md").read_text("utf-8").partition("## What the source needs")[2].partition("\n## ")[0]
    )
    found = re.search(r"```sql\n(.+?)```", section, re.DOTALL)
    assert found is not None
    return [statement for statement in found[1].split(";\n") if statement.strip()]


def test_a_role_with_the_documented_rights_and_no_more_reads_everything(stack: Stack, tmp_path: Path) -> None:
    source = stack.source("least")
    for name in TABLES:
        source.query(f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT")
    for statement in documented_statements():
        source.query(statement)
    password = tmp_path / "password"
    password.write_text("change it\n")
    least = source.settings.source.model_copy(
        update={"user": "settlement_reader", "password": SecretStr("not this one"), "password_file": str(password)}
    )
    limited = Source(stack, Settings(source=least, kafka=source.settings.kafka))
    needed = [NeededTable(one, TABLES[one.name].columns, "") for one in settlement_tables("public")]
    assert [fault.what for fault in check_source(least, needed).faults] == ["the slot least does not exist"]
    with reading(limited) as reader:
        reader.catch_up(source)
        source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
        source.query("TRUNCATE rule")
        reader.catch_up(source)
        assert check_source(least, needed).faults == []
    assert source.truncates()
    rights = source.query(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = 'settlement_reader'"
    )
    assert rights == [(False, False, False, False)]


def test_every_connection_speaks_tls_and_checks_the_server(stack: Stack, tmp_path: Path) -> None:
    source = stack.source("tls")
    authority = certificate("authority")
    root, _ = write_pair(tmp_path, "root", authority)
    sslcert, sslkey = write_pair(tmp_path, "client", certificate("reader", authority))
    with tls_front(server_context(tmp_path, authority, root), source.settings.source.port) as front:
        files = {"sslrootcert": root, "sslcert": sslcert, "sslkey": sslkey}
        sealed = source.settings.source.model_copy(update={"port": front.port, "sslmode": "verify-full", **files})
        with reading(Source(stack, Settings(source=sealed, kafka=source.settings.kafka))) as reader:
            reader.catch_up(source)
            source.query("INSERT INTO rule VALUES (1, 'daily', true, 10, 'USD', false)")
            reader.catch_up(source)
        assert source.mirror() == source.truth()
        # The reader's own, replication, the clock, the watch, and questions for domains: all of them came this way.
        assert len(front.clients) >= 5
        assert all("(('commonName', 'reader'),)" in client for client in front.clients)
        assert front.refused == 0
        other, _ = write_pair(tmp_path, "other", certificate("another authority"))
        for change, what in (
            ({"sslrootcert": other}, "certificate verify failed"),
            ({"sslrootcert": str(tmp_path / "absent")}, "does not exist"),
            ({"host": "localhost"}, "does not match host name"),
            ({"port": source.settings.source.port}, "does not support SSL"),
        ):
            with pytest.raises(ConfigurationError, match=what):
                connect(sealed.model_copy(update=change))


def test_a_password_file_that_is_not_there_is_told(stack: Stack) -> None:
    source = stack.source("unlocked")
    missing = source.settings.source.model_copy(update={"password_file": "/nowhere/password"})
    reader = Reader(Settings(source=missing, kafka=source.settings.kafka))
    wait_until(lambda: reader.error is not None)
    reader.stop()
    assert isinstance(reader.error, ConfigurationError)
    assert reader.error.where == "source.password_file = /nowhere/password"
