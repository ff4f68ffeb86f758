"""The replication connection to Postgres: makes slots, streams their messages, confirms positions.

Built on psycopg 3's wrapper of libpq. psycopg2's ready-made replication cursor moves the confirmed position forward by
itself on a keepalive in the middle of a transaction (it compares with the position of the last message, and those of
an early started transaction, or of a Relation message, are lower than what was confirmed before). Transactions that were
received but not yet delivered would then be lost in a crash.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from psycopg import pq

from cdc.pgoutput import POSTGRES_EPOCH_US
from trueup.model.errors import ConfigurationError, UnavailableError

PAYLOAD_AT: Final = 25
"""Where the plugin's message starts in a stream message: after kind, start, end and send time."""

KEEPALIVE: Final = ord("k")

STOP_CHECK_SECONDS: Final = 0.2
CLOSE_WAIT_SECONDS_MAX: Final = 2.0

_STATUS: Final = struct.Struct("!cQQQqB")
_KEEPALIVE: Final = struct.Struct("!QqB")
_OBJECT_IN_USE: Final = b"55006"
_REFUSALS: Final = (
    "password authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "permission denied",
    "must be superuser or replication role",
    "certificate verify failed",
    "does not match host name",
    "does not support SSL",
    "private key file",
    "certificate file",
    "requires a valid client certificate",
)
"""Reasons that another attempt cannot change, in the server's own (English) words."""


class Keepalive(NamedTuple):
    """All of the log below `wal_end` is decoded, and what it had for us was sent before this message.

    Why: the server sends as `wal_end` the end of the last log record it has decoded, and it decodes a commit record by
    sending the whole transaction through the same connection first.
    """

    wal_end: int
    reply_wanted: bool


class CreatedSlot(NamedTuple):
    """A new slot: what commits after `consistent_lsn` will be streamed, what committed before is in `snapshot`."""

    consistent_lsn: int
    snapshot: str


def read_keepalive(message: bytes) -> Keepalive:
    """The keepalive in a stream message."""
    wal_end, _, reply = _KEEPALIVE.unpack_from(message, 1)
    return Keepalive(wal_end, reply != 0)


def lsn_of(text: str) -> int:
    """`16/B374D848` as the number of bytes since the start of the log."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def unavailable(what: str, address: str) -> ConfigurationError | UnavailableError:
    """The right error for a failed connection or command, by the server's words."""
    what = what.strip().replace("\n", " ")
    if any(reason in what for reason in _REFUSALS):
        return ConfigurationError(what, where=address, remedy="check the settings of the source and the role's rights")
    return UnavailableError(what, where=address)


class ReplicationConnection:
    """One connection in replication mode. Not thread-safe.

    When the connection breaks, every method raises psycopg.OperationalError.

    Args:
        conninfo: libpq connection string; `replication=database` is added.
        address: host and port, for errors.

    Raises:
        ConfigurationError: the server refuses the role.
        UnavailableError: the server does not answer.
    """

    def __init__(self, conninfo: str, address: str) -> None:
        self._address = address
        self._connection = pq.PGconn.connect(f"{conninfo} replication=database".encode())
        if self._connection.status != pq.ConnStatus.OK:
            message = self._connection.get_error_message()
            self._connection.finish()
            raise unavailable(message, address)
        if not self._connection.nonblocking:
            self._connection.nonblocking = 1
        self._poller = select.poll()
        self._poller.register(self._connection.socket, select.POLLIN)
        self._buffered = False

    def system_id(self) -> str:
        """The identifier of the server's data, the same for its whole life."""
        result = self._connection.exec_(b"IDENTIFY_SYSTEM")
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise unavailable(result.get_error_message(), self._address)
        return (result.get_value(0, 0) or b"").decode()

    def create_slot(self, slot: str, stopping: Callable[[], bool]) -> CreatedSlot | None:
        """Make the slot and export its snapshot, which lives until the next command; None when asked to stop.

        Waits for the transactions that are open now to end.
        """
        connection = self._connection
        connection.send_query(f'CREATE_REPLICATION_SLOT "{slot}" LOGICAL pgoutput EXPORT_SNAPSHOT'.encode())
        self._flush()
        while connection.is_busy():
            if stopping():
                connection.get_cancel().cancel()
                return None
            self.wait(STOP_CHECK_SECONDS)
            connection.consume_input()
        result = connection.get_result()
        if result is None or result.status != pq.ExecStatus.TUPLES_OK:
            raise unavailable(result.get_error_message() if result else "no slot was made", self._address)
        lsn, snapshot = result.get_value(0, 1), result.get_value(0, 2)
        while connection.get_result() is not None:
            pass
        if lsn is None or snapshot is None:
            raise UnavailableError("the server made a slot without a snapshot", where=self._address)
        return CreatedSlot(lsn_of(lsn.decode()), snapshot.decode())

    def start(self, slot: str, publication: str) -> None:
        """Start streaming from the slot's confirmed position.

        Raises:
            UnavailableError: another reader reads the slot, or the server cannot start now.
            ConfigurationError: the slot does not exist or the role may not read it.
        """
        command = (
            f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 '
            f'("proto_version" \'1\', "publication_names" \'"{publication}"\')'
        )
        result = self._connection.exec_(command.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            message = result.get_error_message()
            if result.error_field(pq.DiagnosticField.SQLSTATE) == _OBJECT_IN_USE:
                raise UnavailableError(f"slot {slot} is read by another reader: {message.strip()}", where=self._address)
            raise unavailable(message, self._address)

    def pending(self, messages_max: int) -> Iterator[bytes]:
        """Messages that have arrived, at most so many; does not wait.

        Raises:
            UnavailableError: the server ended the stream.
        """
        read = self._connection.get_copy_data
        # Never more is taken from the socket than what is handled: a slow broker slows the server down.
        if not self._buffered:
            self._connection.consume_input()
        self._buffered = True
        for _ in range(messages_max):
            size, data = read(1)
            if size <= 0:
                self._buffered = False
                if size < 0:
                    raise UnavailableError(f"the server ended the stream: {self._ending()}", where=self._address)
                return
            yield bytes(data)

    def wait(self, seconds: float) -> None:
        """Wait until something arrives, at most so long."""
        if not self._buffered:
            self._poller.poll(seconds * 1000)

    def send_status(self, received_lsn: int, flushed_lsn: int, now_us: int, *, reply: bool = False) -> None:
        """Tell the server how far this side is; it may forget the log below `flushed_lsn`.

        Args:
            received_lsn: what has arrived.
            flushed_lsn: what never needs to be sent again.
            now_us: this side's clock, µs since the epoch.
            reply: ask for a keepalive.
        """
        status = _STATUS.pack(b"r", received_lsn, flushed_lsn, flushed_lsn, now_us - POSTGRES_EPOCH_US, reply)
        while self._connection.put_copy_data(status) == 0:
            self._flush()
        self._flush()

    def end(self) -> None:
        """End the stream politely, so that the server has read the last status before the connection closes."""
        self._connection.put_copy_end()
        self._flush()
        deadline = time.monotonic() + CLOSE_WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            size, _ = self._connection.get_copy_data(1)
            if size < 0:
                return
            if size == 0:
                self._poller.poll(STOP_CHECK_SECONDS * 1000)
                self._connection.consume_input()

    def close(self) -> None:
        """Close the connection, whatever its state."""
        self._connection.finish()

    def _flush(self) -> None:
        """Write what is buffered. While the socket is full, what arrives must be read or both sides would wait."""
        while self._connection.flush() == 1:
            ready = select.poll()
            ready.register(self._connection.socket, select.POLLIN | select.POLLOUT)
            if any(event & select.POLLIN for _, event in ready.poll(STOP_CHECK_SECONDS * 1000)):
                self._connection.consume_input()

    def _ending(self) -> str:
        result = self._connection.get_result()
        return result.get_error_message().strip() if result is not None else "no reason given"
