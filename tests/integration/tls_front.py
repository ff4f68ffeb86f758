"""A front of the embedded PostgreSQL that speaks TLS and nothing else: the server of the wheel is built without it."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trueup.embedded.ports import LOOPBACK

_TLS_WANTED = 80877103
_REQUEST = struct.Struct("!II")
BYTES_AT_ONCE = 65_536


class TlsFront:
    """Takes connections as a PostgreSQL server with `hostssl` rules alone would, and passes on what is inside.

    Args:
        context: certificate of the server, and whom it believes.
        port: of the server behind it.
    """

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context = context
        self._behind = port
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listening.getsockname()[1])
        self.clients: list[str] = []
        self.refused = 0

    def serve(self) -> None:
        """Take connections until the listening socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._take, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _take(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while True:
                request = client.recv(_REQUEST.size, socket.MSG_WAITALL)
                if len(request) < _REQUEST.size:
                    return
                _, code = _REQUEST.unpack(request)
                if code == _TLS_WANTED:
                    break
                client.sendall(b"N")
            client.sendall(b"S")
            try:
                inside = self._context.wrap_socket(client, server_side=True)
            except ssl.SSLError:
                self.refused += 1
                raise
            self.clients.append(str(inside.getpeercert()))
            with inside, socket.create_connection((LOOPBACK, self._behind)) as server:
                _pass_on(inside, server)


def _pass_on(inside: ssl.SSLSocket, server: socket.socket) -> None:
    """Both ways in one thread, for a TLS connection is not for several."""
    other: dict[socket.socket, socket.socket] = {inside: server, server: inside}
    while True:
        ready: list[socket.socket] = [inside] if inside.pending() else select.select(list(other), [], [])[0]
        for each in ready:
            data = each.recv(BYTES_AT_ONCE)
            if not data:
                return
            other[each].sendall(data)


@contextmanager
def tls_front(context: ssl.SSLContext, port: int) -> Iterator[TlsFront]:
    front = TlsFront(context, port)
    thread = threading.Thread(target=front.serve, name="tls-front", daemon=True)
    thread.start()
    try:
        yield front
    finally:
        front.close()
        thread.join()
