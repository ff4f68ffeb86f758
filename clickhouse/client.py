"""Connections to ClickHouse over HTTP, and what its errors mean to us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from ipaddress import ip_address
from typing import Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error, OperationalError
from urllib3.exceptions import HTTPError

from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError
from trueup.settings import ClickHouseSettings

CONNECT_SECONDS_MAX: Final = 5
ANSWER_SECONDS_MAX: Final = 120
"""Longest silence on the socket; the server sends progress while a query runs."""


class Code(IntEnum):
    """ClickHouse error codes that we tell apart."""

    UNKNOWN_TABLE = 60
    UNKNOWN_DATABASE = 81
    TIMEOUT_EXCEEDED = 159
    READONLY = 164
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    SOCKET_TIMEOUT = 209
    NETWORK_ERROR = 210
    ABORTED = 236
    MEMORY_LIMIT_EXCEEDED = 241
    TABLE_IS_READ_ONLY = 242
    NOT_ENOUGH_SPACE = 243
    TOO_MANY_PARTS = 252
    ALL_CONNECTION_TRIES_FAILED = 279
    UNKNOWN_STATUS_OF_INSERT = 319
    QUERY_WAS_CANCELLED = 394
    CANNOT_SCHEDULE_TASK = 439
    ACCESS_DENIED = 497
    AUTHENTICATION_FAILED = 516
    SERVER_OVERLOADED = 745
    KEEPER_EXCEPTION = 999


PASSING: Final = frozenset(
    {
        Code.TIMEOUT_EXCEEDED,
        Code.TOO_MANY_SIMULTANEOUS_QUERIES,
        Code.SOCKET_TIMEOUT,
        Code.NETWORK_ERROR,
        Code.ABORTED,
        Code.MEMORY_LIMIT_EXCEEDED,
        Code.TABLE_IS_READ_ONLY,
        Code.NOT_ENOUGH_SPACE,
        Code.TOO_MANY_PARTS,
        Code.ALL_CONNECTION_TRIES_FAILED,
        Code.UNKNOWN_STATUS_OF_INSERT,
        Code.QUERY_WAS_CANCELLED,
        Code.CANNOT_SCHEDULE_TASK,
        Code.SERVER_OVERLOADED,
        Code.KEEPER_EXCEPTION,
    }
)
"""Faults of the moment: the same request may succeed later."""

_REMEDIES: Final = {
    Code.UNKNOWN_TABLE: "apply the migrations",
    Code.UNKNOWN_DATABASE: "apply the migrations",
    Code.ACCESS_DENIED: "grant the right to the user in [clickhouse]",
    Code.AUTHENTICATION_FAILED: "check user and password in [clickhouse]",
}


class RefusedError(TrueupError):
    """ClickHouse refuses a request, and would refuse it again.

    Args:
        code: ClickHouse's number for the error, None when it sent none.
        what: ClickHouse's own words.
    """

    def __init__(self, code: int | None, what: str, *, where: str) -> None:
        self.code = code
        super().__init__(what, where=where)


def connect(settings: ClickHouseSettings) -> Client:
    """A client that threads may share; its queries name the database themselves, so it need not exist yet.

    Errors: UnavailableError when the server does not answer, ConfigurationError when it does not let us in.
    """
    with translated_errors(f"ClickHouse at {settings.host}:{settings.port}"):
        return clickhouse_connect.get_client(
            interface="http",
            host=settings.host,
            port=settings.port,
            username=settings.user,
            password=settings.password.get_secret_value(),
            # Over loopback, compressing costs more than it saves.
            compress=False if _is_loopback(settings.host) else "lz4",
            client_name="trueup",
            connect_timeout=CONNECT_SECONDS_MAX,
            send_receive_timeout=ANSWER_SECONDS_MAX,
            autogenerate_session_id=False,
            tz_mode="aware",
            # One pool per client: the shared default would keep sockets of a server that is gone.
            dedicated_pool=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Turns the driver's errors inside the block into TrueupErrors that say whether a retry can help."""
    try:
        yield
    except ClickHouseError as error:
        raise _translated(error, where) from error
    except (HTTPError, OSError) as error:
        # A stream that breaks off half-way passes the driver as a short HTTP chunk, a closed socket or a short read.
        raise UnavailableError(f"the answer broke off: {error}", where=where) from error


def _translated(error: ClickHouseError, where: str) -> TrueupError:
    code = error.code if isinstance(error, Error) else None
    what = str(error)
    if code is None and isinstance(error, OperationalError):
        return UnavailableError(f"no answer: {what}", where=where, remedy="is ClickHouse running?")
    if code in PASSING:
        return UnavailableError(what, where=where)
    remedy = _REMEDIES.get(Code(code)) if code in set(Code) else None
    if remedy is not None:
        return ConfigurationError(what, where=where, remedy=remedy)
    return RefusedError(code, what, where=where)
