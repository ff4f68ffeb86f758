"""ClickHouse's error codes and the HTTP status that ClickHouse answers for each."""

from __future__ import annotations

import re
from typing import Final

BAD_ARGUMENTS: Final = 36
NOT_IMPLEMENTED: Final = 48
SYNTAX_ERROR: Final = 62
UNKNOWN_SETTING: Final = 115
READONLY: Final = 164
TOO_MANY_SIMULTANEOUS_QUERIES: Final = 202
QUERY_IS_TOO_LARGE: Final = 229
CANNOT_DECOMPRESS: Final = 271
TOO_MANY_BYTES: Final = 307
SESSION_NOT_FOUND: Final = 372
SESSION_IS_LOCKED: Final = 373
INVALID_SESSION_TIMEOUT: Final = 374
TOO_MANY_ROWS_OR_BYTES: Final = 396
ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516
STD_EXCEPTION: Final = 1001

_NAMES: Final = {
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    READONLY: "READONLY",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    TOO_MANY_BYTES: "TOO_MANY_BYTES",
    SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    SESSION_IS_LOCKED: "SESSION_IS_LOCKED",
    INVALID_SESSION_TIMEOUT: "INVALID_SESSION_TIMEOUT",
    TOO_MANY_ROWS_OR_BYTES: "TOO_MANY_ROWS_OR_BYTES",
    ACCESS_DENIED: "ACCESS_DENIED",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    STD_EXCEPTION: "STD_EXCEPTION",
}

# ClickHouse's exceptionCodeToHTTPStatus; a code that is not listed answers 500.
_STATUS_OF_CODES: Final = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
    401: (194, AUTHENTICATION_FAILED),
    403: (192, 193, ACCESS_DENIED, 512),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, UNKNOWN_SETTING, 152, 336, 511),
    408: (159,),
    413: (QUERY_IS_TOO_LARGE, TOO_MANY_BYTES),
    415: (779,),
    501: (NOT_IMPLEMENTED,),
    503: (76, TOO_MANY_SIMULTANEOUS_QUERIES, 209, 439),
}
_STATUS: Final = {code: status for status, codes in _STATUS_OF_CODES.items() for code in codes}
_CODE = re.compile(r"Code: (\d+)\. ")


class EngineError(Exception):
    """A query that ClickHouse, or this endpoint in its place, refuses: a code and a text for the client.

    Args:
        code: ClickHouse's error code.
        message: the reason, without the `Code: …` that `body` puts before it.
    """

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"Code: {code}. {message}")

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return _STATUS.get(self.code, 500)

    def body(self, engine_version: str) -> str:
        """The text of the answer, in the shape every ClickHouse client parses."""
        text = self.message
        if not text.startswith("Code: "):
            name = _NAMES.get(self.code, "STD_EXCEPTION")
            text = f"Code: {self.code}. DB::Exception: {text} ({name})"
        if "(version " not in text:
            text = f"{text} (version {engine_version})"
        return text + "\n"


def from_engine(error: BaseException) -> EngineError:
    """The engine's own exception as an EngineError; chDB carries the code only in the text."""
    text = str(error).strip()
    found = _CODE.search(text)
    if not found:
        return EngineError(STD_EXCEPTION, text or "the engine gave no reason")
    return EngineError(int(found.group(1)), text[found.start() :])
