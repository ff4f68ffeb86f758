"""Who somebody is, and what they may do. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trueup.model.errors import ConfigurationError

LOGIN_CHARS_MAX: Final = 64
_LOGIN: Final = re.compile(rf"[a-z0-9][a-z0-9._@+-]{{0,{LOGIN_CHARS_MAX - 1}}}")


class Role(StrEnum):
    """What an account may do; every role may do what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Whether this role is the needed one or above it."""
        return ROLES.index(self) >= ROLES.index(needed)


ROLES: Final = tuple(Role)
"""Every role, the weakest first."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in.

    `language` is empty where the browser decides. `provider` names the OpenID provider that vouches for the person, or is
    empty. Times are µs since the epoch; `signed_in_us` is None before the first sign-in.
    """

    login: str
    name: str
    role: Role
    language: str = ""
    is_disabled: bool = False
    has_password: bool = False
    provider: str = ""
    created_us: int = 0
    signed_in_us: int | None = None

    def may(self, role: str) -> bool:
        """Whether the account has this role or one above it; for templates."""
        return self.role.allows(Role(role))


LOCAL: Final = Account("local", "local", Role.ADMIN)
"""Everybody, where authentication is off."""


def read_login(text: str) -> str:
    """A login in its one spelling: lower case, without blanks around it. Errors: ConfigurationError."""
    login = text.strip().lower()
    if _LOGIN.fullmatch(login) is None:
        raise ConfigurationError(
            f"{text[:80]!r} is no login",
            remedy=f"use letters a–z, digits and . _ @ + -, at most {LOGIN_CHARS_MAX}, with a letter or digit first",
        )
    return login


def read_role(text: str) -> Role:
    """A role by its name. Errors: ConfigurationError."""
    try:
        return Role(text.strip().lower())
    except ValueError:
        raise ConfigurationError(f"{text[:40]!r} is no role", remedy=f"one of {', '.join(ROLES)}") from None
