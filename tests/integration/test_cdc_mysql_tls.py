"""TLS to MariaDB: every mode that the settings know, against a server that has a certificate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cdc.mysql_source import connect
from tests.integration.certificates import certificate, write_pair
from tests.integration.mariadb_server import ADMIN, PASSWORD, SYSTEM_USER, running_mariadb
from trueup.embedded.system_user import let_pass, unprivileged_user
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.settings import SourceSettings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The authority that signed the server's certificate, and a stranger."""
    folder = tmp_path_factory.mktemp("roots")
    authority = certificate("authority")
    write_pair(folder, "server", certificate("server", authority))
    return {
        "own": write_pair(folder, "own", authority)[0],
        "strange": write_pair(folder, "strange", certificate("stranger"))[0],
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, roots: dict[str, str]) -> Iterator[SourceSettings]:
    data_dir = tmp_path_factory.mktemp("mariadb")
    made = Path(roots["own"]).parent
    files = [made / "server.crt", made / "server.key"]
    user = unprivileged_user(SYSTEM_USER)
    for file in files:
        let_pass(file)
        if user is not None:
            os.chown(file, user.uid, user.gid)
    with running_mariadb(data_dir, f"--ssl-cert={files[0]}", f"--ssl-key={files[1]}") as (server, _):
        yield SourceSettings(
            kind="mysql", name="tls", port=server.port, user=ADMIN, password=SecretStr(PASSWORD), database="mysql"
        )


def is_sealed(source: SourceSettings, **changed: Any) -> bool:
    """Whether a connection with these settings is encrypted."""
    with closing(connect(source.model_copy(update=changed))) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = cursor.fetchone()
    assert row is not None
    return bool(row[1])


def test_tls_is_taken_where_it_is_offered_and_left_where_it_is_not_wanted(source: SourceSettings) -> None:
    assert is_sealed(source)
    assert is_sealed(source, sslmode="require")
    assert not is_sealed(source, sslmode="disable")


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
def test_the_authority_is_checked(source: SourceSettings, roots: dict[str, str], sslmode: str) -> None:
    assert is_sealed(source, sslmode=sslmode, sslrootcert=roots["own"])
    with pytest.raises(UnavailableError, match="certificate"):
        connect(source.model_copy(update={"sslmode": sslmode, "sslrootcert": roots["strange"]}))


def test_only_verify_full_checks_the_name(source: SourceSettings, roots: dict[str, str]) -> None:
    other_name = {"host": "localhost", "sslrootcert": roots["own"]}
    assert is_sealed(source, sslmode="verify-ca", **other_name)
    with pytest.raises(UnavailableError, match="certificate"):
        connect(source.model_copy(update={"sslmode": "verify-full", **other_name}))


def test_without_an_authority_of_its_own_the_systems_count(source: SourceSettings) -> None:
    with pytest.raises(UnavailableError, match="certificate"):
        connect(source.model_copy(update={"sslmode": "verify-full"}))


def test_a_file_that_is_no_certificate_is_told(source: SourceSettings, tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    file.write_text("none")
    for path in (file, tmp_path / "away.pem"):
        with pytest.raises(ConfigurationError) as told:
            connect(source.model_copy(update={"sslmode": "verify-full", "sslrootcert": str(path)}))
        assert "sslrootcert" in told.value.where
