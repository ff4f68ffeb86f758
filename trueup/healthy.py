"""`python -m trueup.healthy ADDRESS`: exit status 0 if a process on this machine says that it is ready, for containers."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX: Final = 4.0


def is_ready(address: str) -> bool:
    """Whether the address, such as `http://127.0.0.1:9100/readyz`, answers 200 in time.

    A certificate is for the name that browsers use, so it is not held against this machine's own address.
    """
    parts = urlsplit(address)
    host = parts.netloc
    connection = HTTPConnection(host, timeout=ANSWER_SECONDS_MAX)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection(host, timeout=ANSWER_SECONDS_MAX, context=context)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 when ready, 1 when not."""
    return 0 if len(arguments) == 1 and is_ready(arguments[0]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
