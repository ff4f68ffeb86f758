"""The application behind a real server: TLS, and which proxies are believed."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dashboards.access.account import Role
from tests.access_stand import PASSWORD, Stand

pytestmark = pytest.mark.integration


@contextmanager
def served(stand: Stand) -> Iterator[int]:
    """The port on which the stand's application is served, with the options that its settings make."""
    listening = socket.create_server(("127.0.0.1", 0))
    options = {**stand.access.serving.server_options(), "host": "127.0.0.1"}
    server = uvicorn.Server(uvicorn.Config(stand.app, log_config=None, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(10)
        stand.close()


def certificate(folder: Path) -> dict[str, Any]:
    """A certificate for 127.0.0.1 that signs itself, as settings."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trueup test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = {"certificate": folder / "cert.pem", "certificate_key": folder / "key.pem"}
    files["certificate"].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files["certificate_key"].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {setting: str(path) for setting, path in files.items()}


def test_over_tls_the_cookie_is_secure_and_bound_to_the_host(tmp_path: Path) -> None:
    stand = Stand(tmp_path, **certificate(tmp_path))
    stand.add("root", Role.ADMIN)
    with served(stand) as port:
        origin = f"https://127.0.0.1:{port}"
        with httpx.Client(base_url=origin, verify=str(tmp_path / "cert.pem"), timeout=60) as browser:
            answer = browser.post(
                "/sign-in", data={"login": "root", "password": PASSWORD}, headers={"Origin": origin}
            )  # fmt: skip
            assert answer.status_code == 303
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-trueup=")
            assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
            assert "Domain" not in cookie
            assert browser.get("/users").status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/sign-in", timeout=60)


@pytest.mark.parametrize(("trusted", "told"), [("127.0.0.1", "203.0.113.7"), ("10.0.0.9", "127.0.0.1")])
def test_only_declared_proxies_are_believed_about_addresses(tmp_path: Path, trusted: str, told: str) -> None:
    stand = Stand(tmp_path, proxy_origin="https://recon.example.org", trusted_proxies=[trusted])
    stand.add("root", Role.ADMIN)
    headers = {
        "Host": "recon.example.org", "Origin": "https://recon.example.org", "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
    }  # fmt: skip
    with served(stand) as port:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/sign-in",
            data={"login": "root", "password": PASSWORD},
            headers=headers,
            timeout=60,
        )
        assert answer.status_code == 303
        assert answer.headers["set-cookie"].startswith("__Host-trueup=")
        assert stand.access.actions.page(1)[0].address == told


def test_without_a_declared_proxy_nobody_is_believed(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.add("root", Role.ADMIN)
    with served(stand) as port:
        origin = f"http://127.0.0.1:{port}"
        answer = httpx.post(
            f"{origin}/sign-in", data={"login": "root", "password": PASSWORD},
            headers={"Origin": origin, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, timeout=60,
        )  # fmt: skip
        assert answer.status_code == 303
        assert answer.headers["set-cookie"].startswith(f"trueup_{port}=")
        assert stand.access.actions.page(1)[0].address == "127.0.0.1"
