"""A small OpenID provider on 127.0.0.1: discovery, authorization, token and keys, over real HTTP.

It checks what a provider has to check (client, redirect address, PKCE, single use of a code), so that a client which leaves
something out fails here as well. `spoil` lets a test change an ID token's claims, or how it is signed.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import orjson
from joserfc import jwt
from joserfc.jwk import Key, KeySet, OctKey, RSAKey

CLIENT_ID = "trueup dashboard"
CLIENT_SECRET = "s3cret/with:odd characters"


@cache
def first_key() -> RSAKey:
    """The key that every provider begins with: making one takes a while."""
    return RSAKey.generate_key(2048, parameters={"kid": "first", "use": "sig"})


class OidcProvider:
    """What the provider knows; `claims` are of the person who signs in next."""

    def __init__(self, issuer: str, now_seconds: Callable[[], int]) -> None:
        self.issuer = issuer
        self.now_seconds = now_seconds
        self.claims: dict[str, Any] = {"sub": "42", "preferred_username": "Ann", "name": "Ann B", "groups": ["finance"]}
        self.spoil: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.signs_with: Any = None
        self.algorithm = "RS256"
        self.metadata_issuer = issuer
        self.keys: list[Key] = [first_key()]
        self.codes: dict[str, dict[str, str]] = {}

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.metadata_issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def change_key(self) -> None:
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": secrets.token_hex(4), "use": "sig"})]

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        if [unquote_plus(part) for part in pair] != [CLIENT_ID, CLIENT_SECRET]:
            return 401, {"error": "invalid_client"}
        begun = self.codes.pop(form["code"], None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        if begun is None or begun["code_challenge"] != challenge or begun["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.id_token(begun["nonce"])}

    def id_token(self, nonce: str) -> str:
        now = self.now_seconds()
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce, **self.claims}
        key = self.signs_with or self.keys[0]
        header = {"alg": self.algorithm, **({} if isinstance(key, OctKey) else {"kid": key.kid})}
        return jwt.encode(header, self.spoil(claims), key, algorithms=[self.algorithm])

    def key_set(self) -> dict[str, Any]:
        return dict(KeySet(self.keys).as_dict(private=False))


@contextmanager
def running_provider(now_seconds: Callable[[], int] = lambda: round(time.time())) -> Iterator[OidcProvider]:
    """A provider that listens on a free port."""
    provider: OidcProvider

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/.well-known/openid-configuration":
                self.answer(200, provider.discovery())
            elif parts.path == "/keys":
                self.answer(200, provider.key_set())
            elif parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.authorize(query))
                self.end_headers()
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.answer(*provider.token(form, self.headers.get("Authorization", "")))

        def answer(self, status: int, document: dict[str, Any]) -> None:
            content = orjson.dumps(document)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Nothing: tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = OidcProvider(f"http://127.0.0.1:{server.server_port}", now_seconds)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
