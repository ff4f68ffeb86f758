"""The tables of accounts, sessions, tokens, one-time links, sign-ins under way, and actions. Secrets are kept as hashes only."""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from dashboards.store import METADATA

_LOGIN: Final = "account.login"


def digest(secret: str) -> str:
    """What is kept of a secret that is random enough not to be guessed: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


ACCOUNT: Final = Table(
    "account",
    METADATA,
    Column("login", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("language", String(8), nullable=False, default=""),
    Column("is_disabled", Boolean, nullable=False, default=False),
    Column("password_hash", Text, nullable=False, default=""),
    Column("provider", Text, nullable=False, default=""),
    # Issuer and subject of the OpenID provider: the only thing that stays the same when a person is renamed there.
    Column("subject", Text, unique=True),
    Column("created_us", BigInteger, nullable=False),
    Column("signed_in_us", BigInteger),
)
SESSION: Final = Table(
    "session",
    METADATA,
    Column("id_hash", String(64), primary_key=True),
    Column("login", ForeignKey(_LOGIN, ondelete="CASCADE"), nullable=False, index=True),
    Column("created_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("address", String(64), nullable=False),
    Column("browser", String(200), nullable=False),
)
TOKEN: Final = Table(
    "token",
    METADATA,
    Column("token_id", String(16), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("login", ForeignKey(_LOGIN, ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
)
LINK: Final = Table(
    "sign_in_link",
    METADATA,
    Column("link_hash", String(64), primary_key=True),
    Column("login", ForeignKey(_LOGIN, ondelete="CASCADE"), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
PROVIDER_SIGN_IN: Final = Table(
    "provider_sign_in",
    METADATA,
    Column("state_hash", String(64), primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("return_to", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
ACTION: Final = Table(
    "action",
    METADATA,
    # SQLite numbers rows by itself only where the key is called INTEGER.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_us", BigInteger, nullable=False),
    Column("login", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(100), nullable=False),
    Column("about", String(300), nullable=False),
    Column("result", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Index("action_by_login", "login", "number"),
)
