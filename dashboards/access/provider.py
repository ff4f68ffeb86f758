"""Sign-in by an OpenID Connect provider: the authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0).

Nobody is let in by the provider's word alone: a claim must give a role.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import Engine, delete, insert, select

from dashboards.access.account import ROLES, Role
from dashboards.access.accounts import Clock
from dashboards.access.refusals import NotAllowed
from dashboards.access.serving import is_loopback
from dashboards.access.tables import PROVIDER_SIGN_IN, digest
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError
from trueup.settings import OidcSettings

LASTS_US: Final = 600_000_000
"""How long somebody may take to sign in at the provider."""

KEPT_US: Final = 3_600_000_000
"""How long the provider's addresses and keys are believed to be the same."""

ANSWER_SECONDS_MAX: Final = 10.0
SKEW_SECONDS: Final = 60
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with the provider's own key; none that anybody with the client's secret could make."""

_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Leaving(NamedTuple):
    """Where the browser goes to sign in, and what it has to bring back."""

    address: str
    state: str


class Vouched(NamedTuple):
    """Whom the provider vouches for; `subject` is issuer and subject, `return_to` where the person wanted to go."""

    subject: str
    login: str
    name: str
    role: Role
    return_to: str


class Provider:
    """An OpenID provider.

    Args:
        settings: with an issuer.
        store: keeps sign-ins that are under way.
        now_us: tells the time.

    Raises:
        ConfigurationError: something that is needed is not set.
    """

    def __init__(self, settings: OidcSettings, store: Engine, now_us: Clock) -> None:
        _check(settings)
        self._settings = settings
        self._store = store
        self._now_us = now_us
        self._secret = _read_secret(settings.client_secret_file)
        self._lock = threading.Lock()
        self._known: tuple[int, dict[str, Any], KeySet] | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self._settings.name or str(urlsplit(self._settings.issuer).hostname)

    def leave(self, redirect_uri: str, return_to: str) -> Leaving:
        """Begin a sign-in. Errors: UnavailableError when the provider does not answer."""
        metadata, _ = self._provider()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        now_us = self._now_us()
        row = {
            "state_hash": digest(state), "nonce": nonce, "verifier": verifier, "return_to": return_to,
            "expires_us": now_us + LASTS_US,
        }  # fmt: skip
        with self._store.begin() as connection:
            connection.execute(delete(PROVIDER_SIGN_IN).where(PROVIDER_SIGN_IN.c.expires_us < now_us))
            connection.execute(insert(PROVIDER_SIGN_IN).values(row))
        address = prepare_grant_uri(
            metadata["authorization_endpoint"], self._settings.client_id, "code", redirect_uri=redirect_uri,
            scope=self._settings.scopes, state=state, nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier), code_challenge_method="S256",
        )  # fmt: skip
        return Leaving(address, state)

    def come_back(self, answer: Mapping[str, str], kept_state: str, redirect_uri: str) -> Vouched:
        """Whom the provider vouches for.

        Args:
            answer: the query with which the browser comes back: code and state, or error.
            kept_state: what the same browser was given when it left.
            redirect_uri: the one that it left with.

        Raises:
            NotAllowed: the answer is not to a sign-in of this browser, the provider's word does not hold, or gives no role.
            UnavailableError: the provider does not answer.
        """
        state = answer.get("state", "")
        begun = self._take(state) if state and secrets.compare_digest(state.encode(), kept_state.encode()) else None
        if begun is None:
            raise NotAllowed(
                "this answer belongs to no sign-in of this browser, or to an old one", remedy="sign in again"
            )
        if "error" in answer or "code" not in answer:
            raise NotAllowed(
                f"{self.name} refuses: {answer.get('error_description') or answer.get('error') or 'no code'}"[:300]
            )
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise NotAllowed("the answer is from another provider", remedy="sign in again")
        claims = self._claims(self._id_token(answer["code"], begun["verifier"], redirect_uri), begun["nonce"])
        role = role_of_claims(claims, self._settings)
        if role is None:
            raise NotAllowed(
                f"your account at {self.name} gives no role here", remedy="ask an admin for one of the groups that do"
            )
        login, name = claims.get(self._settings.login_claim), claims.get("name")
        if not isinstance(login, str) or not login:
            raise NotAllowed(
                f"{self.name} does not tell the claim {self._settings.login_claim}",
                where="dashboard.oidc.login_claim",
                remedy="name a claim that it tells",
            )
        return Vouched(
            f"{self._settings.issuer} {claims['sub']}", login, name if isinstance(name, str) else "", role,
            begun["return_to"],
        )  # fmt: skip

    def _take(self, state: str) -> Mapping[str, Any] | None:
        """What was kept of a sign-in; it cannot be taken twice."""
        known = PROVIDER_SIGN_IN.c.state_hash == digest(state)
        with self._store.begin() as connection:
            row = connection.execute(select(PROVIDER_SIGN_IN).where(known)).mappings().first()
            taken = connection.execute(delete(PROVIDER_SIGN_IN).where(known)).rowcount
        return dict(row) if row is not None and taken and self._now_us() < row["expires_us"] else None

    def _id_token(self, code: str, verifier: str, redirect_uri: str) -> str:
        settings = self._settings
        metadata, _ = self._provider()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier,
            **({} if self._secret else {"client_id": settings.client_id}),
        }  # fmt: skip
        # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
        basic = (
            httpx.BasicAuth(quote_plus(settings.client_id), quote_plus(self._secret))
            if self._secret
            else httpx.USE_CLIENT_DEFAULT
        )
        try:
            with httpx.Client(timeout=ANSWER_SECONDS_MAX, follow_redirects=False) as client:
                answer = client.post(metadata["token_endpoint"], data=form, auth=basic)
                told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._silent(error) from error
        token = told.get("id_token") if isinstance(told, dict) and answer.is_success else None
        if not isinstance(token, str):
            reason = told.get("error", "no ID token came back") if isinstance(told, dict) else "no ID token came back"
            raise NotAllowed(f"{self.name} does not take the code: {reason}"[:300], remedy="sign in again")
        return token

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token whose signature and standard claims hold."""
        settings = self._settings
        _, keys = self._provider()
        registry = jwt.JWTClaimsRegistry(
            now=self._now_us() // 1_000_000,
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            try:
                held = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            except (JoseError, ValueError):
                # The provider may have changed its keys since they were read.
                _, keys = self._provider(anew=True)
                held = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            registry.validate(held.claims)
        except (JoseError, ValueError) as error:
            raise NotAllowed(f"the word of {self.name} does not hold: {error}"[:300], remedy="sign in again") from error
        audience = held.claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and held.claims.get("azp") != settings.client_id:
            raise NotAllowed(f"the word of {self.name} is for somebody else", remedy="sign in again")
        return dict(held.claims)

    def _provider(self, *, anew: bool = False) -> tuple[dict[str, Any], KeySet]:
        """Its addresses and keys. Errors: UnavailableError, ConfigurationError when it calls itself otherwise."""
        with self._lock:
            if self._known is None or anew or self._now_us() - self._known[0] > KEPT_US:
                self._known = (self._now_us(), *self._discover())
            return self._known[1:]

    def _discover(self) -> tuple[dict[str, Any], KeySet]:
        issuer = self._settings.issuer
        try:
            with httpx.Client(timeout=ANSWER_SECONDS_MAX, follow_redirects=False) as client:
                metadata = (
                    client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration").raise_for_status().json()
                )
                if metadata.get("issuer") != issuer:
                    raise ConfigurationError(
                        f"the provider calls itself {str(metadata.get('issuer'))[:200]!r}",
                        where=f"dashboard.oidc.issuer = {issuer}",
                        remedy="write the issuer exactly as the provider does",
                    )
                for name in _ENDPOINTS:
                    _check_address(str(metadata.get(name, "")), f"{name} of {issuer}")
                return metadata, KeySet.import_key_set(client.get(metadata["jwks_uri"]).raise_for_status().json())
        except (httpx.HTTPError, JoseError, ValueError, AttributeError, KeyError) as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> TrueupError:
        return UnavailableError(
            f"{self.name} does not answer as an OpenID provider: {error}"[:300],
            where=f"dashboard.oidc.issuer = {self._settings.issuer}",
            remedy="try again; if it stays, check the address",
        )


def role_of_claims(claims: Mapping[str, Any], settings: OidcSettings) -> Role | None:
    """The highest role that a claim gives; the claim's name may lead into objects, as in `realm_access.roles`."""
    held: Any = claims
    for part in [settings.role_claim] if settings.role_claim in claims else settings.role_claim.split("."):
        held = held.get(part) if isinstance(held, Mapping) else None
    listed = [held] if isinstance(held, str) else held if isinstance(held, list) else []
    values = {value for value in listed if isinstance(value, str)}
    given = [role for role in ROLES if values & set(settings.roles.get(role.value, ()))]
    return given[-1] if given else None


def _check(settings: OidcSettings) -> None:
    _check_address(settings.issuer, "dashboard.oidc.issuer")
    for name in ("client_id", "roles"):
        if not getattr(settings, name):
            raise ConfigurationError(
                f"sign-in by {settings.issuer} needs dashboard.oidc.{name}",
                where=f"dashboard.oidc.{name}",
                remedy="set it, or leave dashboard.oidc.issuer empty",
            )


def _check_address(address: str, where: str) -> None:
    """Whoever can read or change what is sent could sign in as anybody."""
    parts = urlsplit(address)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        return
    raise ConfigurationError(f"{address[:200]!r} is no https address", where=where, remedy="the provider needs TLS")


def _read_secret(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the client's secret cannot be read: {error.strerror}",
            where=f"dashboard.oidc.client_secret_file = {path}",
            remedy="check the path and the rights",
        ) from error
