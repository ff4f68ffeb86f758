"""Why access is refused, in words."""

from __future__ import annotations

from trueup.model.errors import TrueupError


class NotAllowed(TrueupError):
    """The account may not do this, or the request was not sent by a page of ours."""


class TooMany(TrueupError):
    """Something was tried too often; after `wait_seconds` it may be tried again."""

    def __init__(self, what: str, wait_seconds: int) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(what, remedy=f"try again in {wait_seconds} seconds")
