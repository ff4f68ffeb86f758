"""Far ends of channels for tests: an HTTP server that behaves as it is told, a mail server, and certificates for both."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HANGS_SECONDS = 30.0


class Got(NamedTuple):
    """A request that came in: path, headers by lower-case name, body."""

    path: str
    headers: dict[str, str]
    body: bytes


Behave = Callable[[BaseHTTPRequestHandler], None]


def reply(status: int, body: bytes = b"ok", **headers: str) -> Behave:
    """Answers so."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Answers a byte at a time, for ever."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    """Never comes to the end of its headers."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def hang(_handler: BaseHTTPRequestHandler) -> None:
    """Does not answer for a long time."""
    time.sleep(HANGS_SECONDS)


def flood(handler: BaseHTTPRequestHandler) -> None:
    """Answers with more than anybody wants to read."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65_536)


class FarEnd:
    """An HTTP server on 127.0.0.1 with what came in."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[Got] = []
        self.behave: Behave = reply(200)
        far_end = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                far_end.got.append(Got(self.path, headers, body))
                with contextlib.suppress(OSError):
                    far_end.behave(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def far_end(tls: ssl.SSLContext | None = None) -> Iterator[FarEnd]:
    """A running server."""
    server = FarEnd(tls)
    try:
        yield server
    finally:
        server.close()


class MailServer:
    """A mail server on 127.0.0.1, just able to take mail; `answers` says what it replies to a command instead."""

    def __init__(self, tls: ssl.SSLContext, *, from_the_start: bool = False) -> None:
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.encrypted: list[bool] = []
        self.answers: dict[str, str] = {}
        mail_server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection: socket.socket = self.request
                try:
                    mail_server.talk(
                        tls.wrap_socket(connection, server_side=True) if from_the_start else connection, tls
                    )
                except OSError:
                    return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def talk(self, connection: socket.socket, tls: ssl.SSLContext) -> None:
        """One session."""
        lines = connection.makefile("rb")
        connection.sendall(b"220 mail ready\r\n")
        while line := lines.readline():
            said = line.decode().strip()
            self.commands.append(said)
            verb = said.partition(" ")[0].upper()
            if verb in self.answers:
                connection.sendall(f"{self.answers[verb]}\r\n".encode())
                continue
            if verb == "STARTTLS":
                connection.sendall(b"220 go ahead\r\n")
                connection = tls.wrap_socket(connection, server_side=True)
                lines = connection.makefile("rb")
            elif verb == "EHLO":
                connection.sendall(b"250-mail\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
            elif verb == "DATA":
                connection.sendall(b"354 go on\r\n")
                mail = b"".join(iter(lines.readline, b".\r\n"))
                self.encrypted.append(isinstance(connection, ssl.SSLSocket))
                self.mails.append(mail)
                connection.sendall(b"250 taken\r\n")
            elif verb == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"235 in\r\n" if verb == "AUTH" else b"250 ok\r\n")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Certified(NamedTuple):
    """A server's side and its clients' side of TLS, for one name."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def certified(directory: Path, name: str) -> Certified:
    """A certificate for a name, and clients that trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    return Certified(server, client)
