"""Errors with one meaning each: what went wrong, where, and what to do about it."""

from __future__ import annotations


class TrueupError(Exception):
    """An error that a person can act on.

    Args:
        what: one sentence that names the fault.
        where: the file, table, topic or address it was found in ("" when `what` says it).
        remedy: what to do about it ("" when nothing but a bug report would help).
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(" · ".join(part for part in (what, where, remedy) if part))


class InvalidRecord(TrueupError):
    """One message cannot be decoded or applied: it goes to quarantine, the stream goes on.

    Args:
        code: a short stable reason such as `malformed-json`, for counting.
        what: the reason in words, naming the field.
    """

    def __init__(self, code: str, what: str) -> None:
        self.code = code
        super().__init__(what)


class ConfigurationError(TrueupError):
    """Settings, a file or the environment are not usable as they are; a retry cannot help."""


class UnavailableError(TrueupError):
    """A service does not answer now; the caller may retry with backoff."""
