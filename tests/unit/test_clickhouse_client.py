"""ClickHouse's errors say whether a retry can help."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from urllib3.exceptions import ProtocolError

from clickhouse.client import PASSING, Code, RefusedError, connect, translated_errors
from trueup.embedded.ports import free_port
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError
from trueup.settings import ClickHouseSettings


def translated(error: Exception) -> TrueupError:
    with pytest.raises(TrueupError) as caught, translated_errors("books.order_wide"):
        raise error
    return caught.value


@pytest.mark.parametrize("code", sorted(PASSING))
def test_faults_of_the_moment_may_be_retried(code: Code) -> None:
    assert isinstance(translated(DatabaseError("busy", code=int(code))), UnavailableError)


def test_a_lost_connection_may_be_retried() -> None:
    assert isinstance(translated(OperationalError("Error executing HTTP request")), UnavailableError)
    assert isinstance(translated(ProtocolError("Connection broken")), UnavailableError)


@pytest.mark.parametrize("code", [Code.UNKNOWN_TABLE, Code.AUTHENTICATION_FAILED])
def test_a_wrong_setup_names_its_remedy(code: Code) -> None:
    error = translated(DatabaseError("no", code=int(code)))
    assert isinstance(error, ConfigurationError)
    assert error.remedy


def test_anything_else_is_refused_for_good() -> None:
    error = translated(DatabaseError("Code: 62. Syntax error", code=62))
    assert isinstance(error, RefusedError)
    assert (error.code, error.where) == (62, "books.order_wide")


def test_our_own_errors_pass_unchanged() -> None:
    original = UnavailableError("away")
    assert translated(original) is original


def test_a_closed_port_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="no answer"):
        connect(ClickHouseSettings(port=free_port()))
