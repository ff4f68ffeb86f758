"""Passwords: what is accepted, how it is kept (Argon2id), and a comparison that takes as long for a login that nobody has."""

from __future__ import annotations

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from trueup.model.errors import ConfigurationError

CHARS_MIN: Final = 12
CHARS_MAX: Final = 1_000
CHARS_BESIDE_LOGIN_MIN: Final = 8
"""What must be left of a password without the login in it."""

AT_ONCE_MAX: Final = 2
"""Each computation takes 64 MiB: many sign-ins at once must not take the memory."""


class Passwords:
    """Makes and checks hashes of passwords.

    Args:
        hasher: parameters of Argon2id; None for those of RFC 9106 for little memory.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._free = threading.BoundedSemaphore(AT_ONCE_MAX)
        self._nobodys = self._hasher.hash("a password that nobody has")

    def hashed(self, password: str) -> str:
        """The hash to keep, with its salt and parameters."""
        with self._free:
            return self._hasher.hash(password)

    def fits(self, password: str, held: str) -> bool:
        """Whether it is the password of the hash; without a hash ("") it takes the same time, and is False."""
        with self._free:
            try:
                self._hasher.verify(held or self._nobodys, password[: CHARS_MAX + 1])
            except (VerifyMismatchError, InvalidHashError):
                return False
        return bool(held)

    def is_outdated(self, held: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(held)


def check_new_password(password: str, login: str) -> None:
    """Errors: ConfigurationError when it is too short, too long, or little more than the login."""
    if len(password) < CHARS_MIN:
        raise ConfigurationError(
            f"the password has {len(password)} characters", remedy=f"choose one of at least {CHARS_MIN}"
        )
    if len(password) > CHARS_MAX:
        raise ConfigurationError(
            f"the password has {len(password)} characters", remedy=f"choose one of at most {CHARS_MAX}"
        )
    if len(password.casefold().replace(login, "")) < CHARS_BESIDE_LOGIN_MIN:
        raise ConfigurationError("the password is little more than the login", remedy="choose another one")
    if len(set(password)) < CHARS_BESIDE_LOGIN_MIN // 2:
        raise ConfigurationError("the password is one character again and again", remedy="choose another one")
